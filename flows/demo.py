"""Demo: the whole loop on a simulated world, or on your own file, told as it happens."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.exceptions import FailedRun
from rich.console import Console

from flows.backfill import backfill
from flows.nightly import nightly
from flows.promote import rollback
from flows.status import status
from tasks.lake.deliveries import deliver
from tasks.lake.guessing import guess_columns
from tasks.lake.periods import period
from tasks.lake.reading import read_logs, read_pairs
from tasks.lake.sources.files import Files
from tasks.lake.sources.simulated import Simulated
from tasks.lake.vocabulary import from_bytes
from tasks.metrics.table import means
from tasks.models.ceiling import ceiling
from tasks.open import open_lake, open_store, read
from tasks.plan.plan import Columns, Plan
from tasks.plan.settings import Settings
from tasks.store import blobs, manifests
from tasks.store.manifest import CHAMPION
from tasks.store.night import walk_back

HISTORY = 5  # days folded into the root night
LAST = HISTORY + 13  # index of the last of 14 nights after the root
BAD = HISTORY + 6  # the day whose first delivery is spoiled
MENDED = BAD + 3  # the night before which the good delivery arrives
PERIODS, PRETRAINED, LEAST = 20, 6, 50  # of somebody's own file: periods, those pre-trained on, fewest rows in each

STRATEGIES = {
    "no-update": {"use": "NoUpdate"},
    "fine-tune": {"use": "FineTune"},
    "full-retrain": {"use": "FullRetrain", "options": {"window": 7}},
    "averaged": {"use": "AverageWeights", "options": {"learner": {"use": "FineTune"}}},
    "popularity": {"use": "Popularity"},
}

console = Console(stderr=True, highlight=False)


def demo(data: Path | None, columns: str) -> dict[str, Any]:
    """Run it in a home of its own. Returns the grid, the leaderboard and where the report lies."""
    began = time.perf_counter()
    home = _fresh_home()
    plan = _own(home, data, columns) if data else _world(home)
    return {**status(str(plan)), "seconds": round(time.perf_counter() - began, 1)}


def _fresh_home() -> Path:
    """A new, empty home for this demo; an earlier demo's is removed, nothing else is."""
    home = (Settings().home / "demo").resolve()
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    os.environ["NIGHTLOOP_HOME"] = str(home)
    return home


def _world(home: Path) -> Path:
    """Fourteen nights of the simulated world: a promotion, a bad night, a late mend, refusals, a rollback."""
    world = Simulated()
    days = home / "deliveries"
    plan = _write(home, _plan("demo", {"path": f"{days}/{{period}}.parquet"}, world.start))
    names = [deliver(world, days, index, bad=index == BAD).stem for index in range(LAST + 1)]

    _say(1, f"{HISTORY} days of history are pre-trained on, then the nights run one by one")
    for index in range(HISTORY - 1, BAD):
        _told(nightly(str(plan), names[index]))

    _say(2, f"the delivery of {names[BAD]} is broken: validation stops that night before anyone learns from it")
    _stopped(plan, names[BAD])
    _say(3, "an operator passes over it, with a reason, and the loop goes on")
    _told(nightly(str(plan), names[BAD], skip="upstream outage; the good file comes later"))
    for index in range(BAD + 1, MENDED):
        _told(nightly(str(plan), names[index]))

    _say(
        4, "the good file arrives late; collected again it is a new version, and what was built on the old one is stale"
    )
    deliver(world, days, BAD)
    _told(nightly(str(plan), names[BAD]))
    _told(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", dry_run=True))
    _told(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", move_champion=True))

    _say(5, "the nights go on")
    for index in range(MENDED, LAST + 1):
        _told(nightly(str(plan), names[index]))

    _say(6, "a challenger that was refused by the gate, and why")
    _refused(plan)

    _say(7, "somebody does not like the newest champion: one action takes it back")
    _told([rollback(str(plan), reason="complaints from the front page")])
    _say(8, "how good anybody could have been, who knows the world behind the logs")
    _told([_best_possible(read(str(plan)), world)])
    return plan


def _best_possible(plan: Plan, world: Simulated) -> str:
    """The oracle's score on the last night, beside that of what served."""
    objects = open_store()
    nights = list(walk_back(objects, manifests.current(objects, plan.pipeline, LAST)))
    vocabulary = from_bytes(blobs.get(objects, nights[0].vocabulary or ""))
    versions = [[(logs.period, logs.version) for logs in night.logs] for night in nights]
    with open_lake(plan) as warehouse:
        logs = read_logs(warehouse, plan, vocabulary, versions[0], plan.seed)
        taken = read_pairs(warehouse, vocabulary, sorted(v for earlier in versions[1:] for v in earlier))
    best = means(ceiling(world.oracle(LAST), vocabulary, logs, taken, plan.ranking), plan.family, plan.ranking.k)
    served = nights[0].scores[CHAMPION].means
    return f"{nights[0].name}: ndcg@20 of the oracle {best['ndcg@20']:.4f}, of what served {served['ndcg@20']:.4f}"


def _own(home: Path, data: Path, columns: str) -> Path:
    """The same loop on somebody's file: twenty periods of equal counts, the first six for pre-training."""
    if not data.is_file():
        raise FileNotFoundError(
            f"no file {str(data)[:200]!r}; give ratings or clicks as csv, parquet or jsonl (.gz too)"
        )
    roles = _roles(columns) if columns else guess_columns(str(data))
    raw = _plan("own", {"path": str(data.resolve())}, "")
    clicks = roles.label is not None
    raw |= {
        "columns": roles.model_dump(mode="json"),
        "periods": {"rows": max(1, _rows(raw, roles) // PERIODS)},
        "history": PRETRAINED,
        "model": {"use": "DeepFM"} if clicks else raw["model"],
        "strategies": {n: s for n, s in STRATEGIES.items() if not (clicks and n == "popularity")},
    }
    plan = _write(home, raw)
    _say(
        1,
        f"{data.name}: {roles.user} takes {roles.item} at {roles.time}; {PERIODS} periods of {raw['periods']['rows']:,} rows",
    )
    _told(backfill(str(plan), end=str(PERIODS - 1), what="missing", move_champion=True))
    return plan


def _roles(given: str) -> Columns:
    """`user=uid,item=sku,time=at,label=clicked` as columns. Raises ValueError where a role is missing or unknown."""
    pairs = dict(part.partition("=")[::2] for part in given.split(","))
    legal = ("user", "item", "time", "label", "time_unit")
    if set(pairs) - set(legal) or not {"user", "item", "time"} <= set(pairs):
        raise ValueError(
            f"columns: given {given[:200]!r}; write user=...,item=...,time=... and, if there are clicks, label=..."
        )
    return Columns.model_validate(pairs)


def _rows(raw: dict[str, Any], roles: Columns) -> int:
    """Rows of the file. Raises ValueError where there are too few to make periods of."""
    plan = Plan.model_validate({**raw, "columns": roles.model_dump(mode="json"), "periods": {"rows": 1}})
    source = Files(raw["source"]["options"]["path"])
    with open_lake(plan) as warehouse:
        rows: int = sum(batch.num_rows for batch in source.batches(warehouse, period(plan.periods, 0), roles))
    if rows < PERIODS * LEAST:
        raise ValueError(
            f"{source.path} has {rows:,} rows; {PERIODS} periods need at least {PERIODS * LEAST:,} to show anything"
        )
    return rows


def _plan(pipeline: str, source: dict[str, Any], start: str) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "source": {"use": "files", "options": source},
        "columns": {
            "user": "user_id",
            "item": "item_id",
            "time": "ts",
            "categorical": ["category"],
            "numeric": ["price"],
        },
        "periods": {"every": "day", "start": start or "2026-01-01", "timezone": "UTC"},
        "history": HISTORY,
        "expectations": {"rules": {"price": {"least": 0, "most": 10_000}}} if start else {},
        "pretrain": {"use": "FullRetrain", "options": {"begin": "scratch"}},
        "model": {"use": "MF", "options": {"width": 32, "biases": True}},
        "strategies": STRATEGIES,
    }


def _write(home: Path, plan: dict[str, Any]) -> Path:
    path = home / f"{plan['pipeline']}.yaml"
    path.write_text(
        "# Written by `nightloop demo`: a plan to begin your own from.\n" + yaml.safe_dump(plan, sort_keys=False)
    )
    return path


def _say(number: int, what: str) -> None:
    console.print(f"\n[bold]{number}. {what}[/bold]", soft_wrap=True)


def _told(lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"   {line}", markup=False, soft_wrap=True)


def _refused(plan: Path) -> None:
    """Show whom the gate refused last, and why."""
    order = read(str(plan))
    chain = manifests.chain(open_store(), order.pipeline, HISTORY - 1, LAST)
    for index in sorted(chain, reverse=True):
        for name, judged in chain[index].judged.items():
            if judged.verdict == "reject":
                _told([f"{chain[index].name}, {name}: {' '.join(judged.reasons)}"])
                return


def _stopped(plan: Path, name: str) -> None:
    """Run a night that validation is to stop, and show what an operator would see."""
    try:
        nightly(str(plan), name)
    except FailedRun as blocked:
        _told([str(blocked)])
        return
    raise RuntimeError(f"the night of {name} should have been stopped by validation, and was not")
