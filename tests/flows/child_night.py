"""Victim: a night and a promotion by hand, in a process that kills itself (a real SIGKILL) at a named point.

Each victim is forked from one process that has imported everything, so that dying often is cheap. The product has no
hooks for this: the points lie before or after the calls it makes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import great_expectations  # imported once, before the first fork: it takes longer than all of a tiny night
import pytest

import nightloop.flows.nightly
import nightloop.tasks.collect
import nightloop.tasks.compare
import nightloop.tasks.pretrain
import nightloop.tasks.promote
import nightloop.tasks.score
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.record import manifest_store, promotion_log, step_cache
from tests.flows.tiny_pipeline import WHEN, Tiny, plain, run

Call = Callable[..., Any]
POINT = "NIGHTLOOP_TEST_KILL"  # environment variable: the name of the point at which to die


class Point(NamedTuple):
    """Die at a call of `owner.name`: the `nth` whose arguments are of interest, before it or after it."""

    owner: Any
    name: str
    after: bool
    nth: int = 1
    of_interest: Call = lambda *args, **kwargs: True


def step(name: str) -> Call:
    """Calls of `work.finish` for this step."""
    return lambda objects, pipeline, key, step, value: step == name


def sql(name: str) -> Call:
    """Calls of `Warehouse.query` of this statement."""
    return lambda warehouse, statement, params=None: statement == name


def linked(text: str) -> Call:
    """Calls of `os.link` that make an object whose key has `text` in it visible."""
    return lambda source, place: text in str(place)


POINTS = {
    "before the period is landed": Point(nightloop.tasks.collect, "collect_period", False),
    "rows in the lake, not yet committed": Point(Warehouse, "query", True, 1, sql("ingest/insert_landed")),
    "after the period is landed": Point(nightloop.tasks.collect, "collect_period", True),
    "after validation": Point(nightloop.flows.nightly, "validate", True),
    "after the first of the scores": Point(step_cache, "store_result", True, 1, step("score")),
    "scores stored, not yet noted": Point(step_cache, "store_result", False, 2, step("score")),
    "after the scores": Point(nightloop.tasks.score, "score", True),
    "first checkpoint stored, not yet noted": Point(step_cache, "store_result", False, 1, step("retrain")),
    "second checkpoint stored, not yet noted": Point(step_cache, "store_result", False, 2, step("retrain")),
    "third checkpoint stored, not yet noted": Point(step_cache, "store_result", False, 3, step("retrain")),
    "a blob written, not yet visible": Point(os, "link", False, 7, linked("/blobs/")),
    "after the comparison": Point(nightloop.tasks.compare, "compare", True),
    "manifest written, not yet visible": Point(os, "link", False, 1, linked("/nights/")),
    "manifest visible": Point(manifest_store, "create_manifest", True),
    "before the gate's entry": Point(promotion_log, "_append", False),
    "between the gate's entry and the pointer": Point(promotion_log, "_move_pointer", False),
    "after the gate's promotion": Point(nightloop.flows.nightly, "move_champion", True),
    "before a person's entry": Point(promotion_log, "_append", False, 2),
    "between a person's entry and the pointer": Point(promotion_log, "_move_pointer", False, 2),
    "after a person's promotion": Point(promotion_log, "_append", True, 2),
}
ROOT_POINTS = {
    "history landed in part": Point(nightloop.tasks.collect, "collect_period", True),
    "pre-trained weights stored, not yet noted": Point(step_cache, "store_result", False, 1, step("pretrain")),
    "pre-trained": Point(nightloop.tasks.pretrain, "pretrain", True),
}


def scenario(tiny: Tiny, day: int) -> None:
    """A night, after which the champion follows; then a person who moves it, unless that has happened."""
    (night,) = run(tiny, day)
    if not any(entry.reason == "a person's trial" for entry in tiny.log()):
        nightloop.tasks.promote.promote_by_hand.fn(tiny.plan, "still", night.name, "", ("a person's trial", True), WHEN)


def arm(point: Point, number: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process gets a signal at the point; by default it dies."""
    real, seen = getattr(point.owner, point.name), 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += bool(point.of_interest(*args, **kwargs))
        now = seen == point.nth and point.of_interest(*args, **kwargs)
        if now and not point.after:
            os.kill(os.getpid(), number)
        found = real(*args, **kwargs)
        if now:
            os.kill(os.getpid(), number)
        return found

    setattr(point.owner, point.name, deadly)


def victim(home: Path, environment: dict[str, str], day: int) -> None:
    """What the forked process runs."""
    os.environ.update(environment)
    sys.stdout = sys.stderr = open(home / "victim.log", "a")  # noqa: SIM115
    plain(pytest.MonkeyPatch())
    arm((POINTS | ROOT_POINTS)[os.environ[POINT]])
    scenario(Tiny(home, home / "tiny.yaml"), day)


def killed(tiny: Tiny, point: str, day: int) -> int | None:
    """Run the scenario in a process of its own until it dies. Returns its exit code: -9 where it was killed."""
    environment = {"NIGHTLOOP_HOME": str(tiny.home / "home"), POINT: point}
    return forked(victim, tiny.home, environment, day)


def forked(work: Call, *given: Any) -> int | None:
    """Call this in a process that has imported everything already. Returns its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.flows.child_night"])
    process = context.Process(target=work, args=given)
    process.start()
    process.join(120)
    return process.exitcode


__all__ = ["POINTS", "ROOT_POINTS", "forked", "great_expectations", "killed", "scenario"]
