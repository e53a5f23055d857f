"""Demo: the whole loop on a simulated world, or on your own file, told as it happens."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from flows.backfill import backfill
from flows.nightly import nightly
from flows.promote import rollback
from tasks.lake.deliveries import deliver
from tasks.lake.sources.simulated import Simulated
from tasks.open import read
from tasks.plan.settings import Settings
from tasks.report import look

HISTORY = 5  # days folded into the root night
LAST = HISTORY + 13  # index of the last of 14 nights after the root
BAD = HISTORY + 6  # the day whose first delivery is spoiled
MENDED = BAD + 3  # the night before which the good delivery arrives

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
    found = look(read(str(plan)), "")
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


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

    _say(4, "the good file arrives late; collected again it is a new version, and what was built on the old one is stale")
    deliver(world, days, BAD)
    _told(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", dry_run=True))
    _told(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", move_champion=True))

    _say(5, "the nights go on")
    for index in range(MENDED, LAST + 1):
        _told(nightly(str(plan), names[index]))

    _say(6, "somebody does not like the newest champion: one action takes it back")
    _told([rollback(str(plan), reason="complaints from the front page")])
    return plan


def _plan(pipeline: str, source: dict[str, Any], start: str) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "source": {"use": "files", "options": source},
        "columns": {"user": "user_id", "item": "item_id", "time": "ts", "categorical": ["category"], "numeric": ["price"]},
        "periods": {"every": "day", "start": start, "timezone": "UTC"},
        "history": HISTORY,
        "pretrain": {"use": "FullRetrain", "options": {"begin": "scratch"}},
        "model": {"use": "MF", "options": {"width": 32, "biases": True}},
        "strategies": STRATEGIES,
    }


def _write(home: Path, plan: dict[str, Any]) -> Path:
    path = home / f"{plan['pipeline']}.yaml"
    path.write_text("# Written by `nightloop demo`: a plan to begin your own from.\n" + yaml.safe_dump(plan, sort_keys=False))
    return path


def _say(number: int, what: str) -> None:
    console.print(f"\n[bold]{number}. {what}[/bold]")


def _told(lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"   {line}", markup=False)


def _stopped(plan: Path, name: str) -> None:
    """Run a night that validation is to stop, and show what an operator would see."""
    try:
        nightly(str(plan), name)
    except RuntimeError as blocked:
        console.print(f"   {blocked}", markup=False)
        return
    raise RuntimeError(f"the night of {name} should have been stopped by validation, and was not")
