"""Benchmark `reads-365`: reads of the store in the 366th night of six strategies, and the seconds of `status` on a slow store.

python -m tests.benchmarks.reads 365 HOME   # so many nights; a home whose nights are kept for a run with more of them
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import yaml

NIGHTS, READS, SECONDS = 365, 300, 5.0
PAUSE = 0.02  # seconds before each read of the slow store
START = "2025-01-01"
T = TypeVar("T")
PART = re.compile(r"[0-9a-f]{16,}|\d+")


def run(nights: int = NIGHTS, home: str = "") -> dict[str, object]:
    """A chain of so many nights without a server; then one more, and `status`, with their reads counted.

    Each of the three is a process of its own, as from a terminal or a worker: nothing was read before.
    """
    place = home or tempfile.mkdtemp(prefix="nightloop-bench-")
    _alone(build, place, nights)
    night, _ = _alone(count_night, place, nights)
    of_status, seconds = _alone(count_status, place, PAUSE)
    return {
        "name": f"reads-{NIGHTS}",
        "value": night.total(),
        "unit": f"reads of night {nights + 1}",
        "target": f"<= {READS} reads, status <= {SECONDS} s with {PAUSE} s before every read",
        "met": night.total() <= READS and seconds <= SECONDS,
        "detail": {"seconds_of_status": round(seconds, 2), "reads_of_status": of_status.total(), "reads": dict(night.most_common())},
    }  # fmt: skip


def _alone(work: Callable[..., T], place: str, *given: object) -> T:
    """The result of a function in a new process whose home is under `place`."""
    os.environ |= {"NIGHTLOOP_HOME": f"{place}/home", "NIGHTLOOP_PREFECT": "0", "NIGHTLOOP_RUNNER": "sequential"}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, Path(place), *given).result()


def build(place: Path, nights: int) -> None:
    """The plan, and a chain of so many nights after the root; those of an earlier run are kept."""
    from nightloop.flows.backfill import backfill
    from nightloop.flows.nightly import nightly
    from tests.flows.tiny_pipeline import raw_plan

    days = _days(place, nights)
    training = {"training": {"epochs": 1}}
    strategies = {
        "still": {"use": "NoUpdate"}, "popular": {"use": "Popularity"}, "recent": {"use": "Recency"},
        "tuned": {"use": "FineTune", "options": training}, "full": {"use": "FullRetrain", "options": {"window": 2, **training}},
        "near": {"use": "L2SP", "options": training},
    }  # fmt: skip
    path, periods = place / "tiny.yaml", {"every": "day", "start": START}
    path.write_text(yaml.safe_dump(raw_plan(place, {"strategies": strategies, "periods": periods})))
    if not (place / "home").exists():
        nightly(str(path), days[-nights - 2])
    backfill(str(path), end=days[-3], what="missing")


def count_night(place: Path, nights: int) -> tuple[Counter[str], float]:
    """The reads of the night after the chain, and its seconds."""
    from nightloop.flows.nightly import nightly

    return _count(lambda: nightly(str(place / "tiny.yaml"), _days(place, nights)[-2]), 0.0)


def count_status(place: Path, pause: float) -> tuple[Counter[str], float]:
    """The reads of `status`, and its seconds if each read takes `pause` longer."""
    from nightloop.flows.status import status

    return _count(lambda: status(str(place / "tiny.yaml")), pause)


def _days(place: Path, nights: int) -> list[str]:
    """The names of all days up to two after the chain. Their files are delivered."""
    from nightloop.tasks.simulation.deliver import deliver
    from tests.flows.tiny_pipeline import HISTORY, WORLD

    world = replace(WORLD, start=START)
    return [deliver(world, place / "in", day).stem for day in range(HISTORY + nights + 1)]


def _count(work: Callable[[], object], pause: float) -> tuple[Counter[str], float]:
    from nightloop.tasks.objects.objects import Directory

    counted: Counter[str] = Counter()
    read = Directory.read

    def counting(self: Directory, key: str) -> tuple[bytes, str] | None:
        counted[PART.sub("N", key)] += 1
        time.sleep(pause)
        return read(self, key)

    Directory.read = counting
    began = time.perf_counter()
    work()
    return counted, time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:2]), *sys.argv[2:3]), indent=2))
