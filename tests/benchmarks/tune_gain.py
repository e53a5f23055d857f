"""`tune-gain`: what `nightloop tune` gains on later periods that it never saw, against the defaults and against tuned ALS.

The log is the simulated world of repeated purchases: 8 days of pre-training, days 9 to 15 for tuning, days 16 to 30 test. A
seed is a world of its own. On MovieTweetings, where the defaults were chosen, the same shows that nothing is lost. Everything
is run as a user runs it: `nightloop tune` for two minutes, then `nightloop bakeoff` of both plans on the test periods.

    python -m tests.benchmarks.tune_gain repeat            # or movietweetings
    python -m tests.benchmarks.tune_gain repeat 0,1 HOME   # some seeds, in a home where finished pieces stay
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from nightloop.tasks.plan.plugins import installed
from tests.benchmarks.real_logs import DATA

MINUTES = "2"  # of the search for each learner
OWN = ("fine-tune", "ials")  # our learners; ALS is the control
METRICS = ("recall@20", "ndcg@20")
GAIN, LEVEL = 0.10, 0.003  # above the defaults, relative; not below tuned ALS by more than, absolute
COLUMNS = {"user": "user_id", "item": "item_id", "time": "ts"}
# The settings of commit ad68d2c, with which the tuned ones are compared whatever today's defaults are.
FINE_TUNE = {"epochs": 10, "batch_size": 1024, "lr": 0.1, "l2": 0.03}
PRETRAIN = {"epochs": 10, "batch_size": 1024, "lr": 0.05, "l2": 0.03}


def _plan(**fields: Any) -> dict[str, Any]:
    return {
        "columns": COLUMNS,
        "pretrain": {"use": "FullRetrain", "options": {"begin": "scratch", "training": PRETRAIN}},
        "model": {"use": "MF", "options": {"width": 64, "biases": True}},
        "strategies": {
            "fine-tune": {"use": "FineTune", "options": {"training": FINE_TUNE}},
            "ials": {"use": "IALS"}, "als": {"use": "ALS"},
        },
        **fields,
    }  # fmt: skip


def repeat(seed: int) -> tuple[dict[str, Any], str, str]:
    """The plan of a world of repeated purchases, the last period of the tuning, and the test periods."""
    plan = _plan(
        pipeline=f"repeat-{seed}", source={"use": "repeat-world", "options": {"seed": seed}}, pretrain_periods=8,
        periods={"every": "day", "start": "2026-01-01", "end": "2026-01-31"}, ranking={"negatives": 299, "repeats": True},
    )  # fmt: skip
    return plan, "2026-01-15", "2026-01-16..2026-01-30"


def movietweetings(seed: int) -> tuple[dict[str, Any], str, str]:
    """The same of MovieTweetings: 6 periods of pre-training, 9 for tuning, 5 test periods."""
    plan = _plan(
        pipeline=f"movietweetings-{seed}", seed=seed, periods={"rows": 7084}, pretrain_periods=6,
        source={"use": "files", "options": {"path": str(DATA / "movietweetings.parquet")}},
    )  # fmt: skip
    return plan, "14", "15..19"


LOGS = {"repeat": repeat, "movietweetings": movietweetings}


def said(home: Path, *words: str) -> dict[str, Any]:
    """The document of a command."""
    environment = {**os.environ, "NIGHTLOOP_HOME": str(home)}
    command = [sys.executable, "-m", "nightloop", *words, "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one_seed(log: str, seed: int, home: Path) -> dict[str, Any]:
    """Tune each learner on the early periods, and score it before and after on the test periods."""
    plan, end, test = LOGS[log](seed)
    path = home / f"{log}-{seed}.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    found: dict[str, Any] = {}
    for label in plan["strategies"]:
        out = home / f"{log}-{seed}-{label}.tuned.yaml"
        words = ("--strategies", label, "--end", end, "--budget", MINUTES, "--out", str(out))
        tuning = said(home, "tune", str(path), *words)
        strategy = tuning["strategies"][0]
        found[label] = {"trials": len(strategy["trials"]), "chosen": strategy["chosen"]}
        for state, file in (("before", path), ("after", Path(tuning["plan"]) if tuning["plan"] else path)):
            race = ("--strategies", label, "--baselines", label, "--test-periods", test, "--end", test.split("..")[1])
            (line,) = said(home, "bakeoff", str(file), *race)["leaderboard"]["uniform"]
            found[label][state] = {metric: line["means"][metric] for metric in METRICS}
    return found


def run(log: str = "", seeds: str = "0,1,2,3,4", home: str = "") -> dict[str, Any]:
    """Every seed, and whether the tuned learner is as far above the defaults as promised, and level with tuned ALS."""
    log = log or ("repeat" if "repeat-world" in installed("source") else "movietweetings")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(home or temporary).absolute()
        place.mkdir(parents=True, exist_ok=True)
        found = {seed: one_seed(log, int(seed), place) for seed in seeds.split(",")}
    means = {
        f"{label} {state}": {m: statistics.fmean(one[label][state][m] for one in found.values()) for m in METRICS}
        for label in (*OWN, "als")
        for state in ("before", "after")
    }
    # The best is the learner whose lead on tuned ALS is the largest in the metric in which it leads least.
    best = max(OWN, key=lambda label: min(means[f"{label} after"][m] - means["als after"][m] for m in METRICS))
    gains = {m: means[f"{best} after"][m] / means["fine-tune before"][m] - 1 for m in METRICS}
    level = all(means[f"{best} after"][m] >= means["als after"][m] - LEVEL for m in METRICS)
    return {
        "value": gains["recall@20"], "unit": "relative gain in Recall@20 on later periods, mean over seeds",
        "target": f"at least {GAIN:.0%} above the settings of ad68d2c on the repeat world, and level with tuned ALS",
        "met": level and (gains["recall@20"] >= GAIN if log == "repeat" else min(gains.values()) > -LEVEL),
        "log": log, "best": best, "gains": gains, "means": means, "seeds": found,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:]), indent=1))
