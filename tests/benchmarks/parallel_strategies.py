"""`parallel-strategies`: the training stage of a night in two warm processes over the same in one.

Four strategies, each fine-tuning MF by Adam on one thread. Nights 2 and 3 are timed, after night 1 has started the processes.
Both arms train on the same rows, and their records are compared byte by byte.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STRATEGIES, ROWS, EPOCHS, TARGET = 4, 40_000, 90, 1.6


def run() -> dict[str, Any]:
    """Seconds of both arms, and whether two processes are as much faster as promised."""
    os.environ["NIGHTLOOP_PREFECT"] = "0"
    from nightloop.tasks.simulation.deliver import deliver
    from nightloop.tasks.sources.simulated import Simulated

    home = Path(tempfile.mkdtemp(prefix="nightloop-bench-"))
    world = Simulated(users=5000, items=4000, rows=ROWS, start="2026-01-01", seed=0)
    for day in range(4):
        deliver(world, home / "in", day, False)
    arms = {name: _stage_seconds(home, name) for name in ("sequential", "processes:2")}
    records = [arm.pop("record") for arm in arms.values()]
    ratio = arms["sequential"]["seconds"] / arms["processes:2"]["seconds"]
    return {
        "name": "parallel-strategies", "value": round(ratio, 2), "unit": "x the speed of one process",
        "target": f"at least {TARGET}, the same bytes", "met": ratio >= TARGET and records[0] == records[1],
        "detail": {**arms, "the same bytes": records[0] == records[1]},
    }  # fmt: skip


def _stage_seconds(home: Path, runner: str) -> dict[str, Any]:
    import yaml

    import nightloop.flows.nightly as nightly
    from nightloop.tasks.plugins.assembly import read_plan
    from nightloop.tasks.resources import keep_open, open_store
    from nightloop.tasks.runner import open_runner
    from tests.flows.tiny_pipeline import raw_plan

    os.environ["NIGHTLOOP_HOME"] = str(home / runner.replace(":", "-"))
    training = {"epochs": EPOCHS, "optimizer": "adam", "lr": 0.01}
    strategies = {
        f"tuned-{number}": {"use": "FineTune", "options": {"training": {**training, "l2": 0.01 * number}}}
        for number in range(1, STRATEGIES + 1)
    }
    path = home / "bench.yaml"
    path.write_text(yaml.safe_dump(raw_plan(home, {"strategies": strategies, "model": {"use": "MF"}})))
    plan, seconds, original = read_plan(path), [], nightly.retrain_all

    def timed(*given: Any) -> Any:
        began = time.perf_counter()
        made = original(*given)
        seconds.append(time.perf_counter() - began)
        return made

    nightly.retrain_all = timed
    try:
        with keep_open(plan), open_runner(runner):
            for day in (1, 2, 3):
                nightly.night(plan, nightly.collect_all(plan, day), lambda: datetime(2026, 2, 1, 2, tzinfo=UTC))
    finally:
        nightly.retrain_all = original
    objects = open_store()
    keys = [key for key in objects.keys("") if key.startswith("blobs/") or "/nights/" in key]
    return {
        "seconds": round(statistics.fmean(seconds[1:]), 2),
        "each": [round(each, 2) for each in seconds],
        "record": {key: objects.read(key) for key in keys},
    }


if __name__ == "__main__":
    print(run())
