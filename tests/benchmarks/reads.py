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
from dataclasses import replace
from pathlib import Path

import yaml

NIGHTS, READS, SECONDS = 365, 300, 5.0
PAUSE = 0.02  # seconds before each read of the slow store
PART = re.compile(r"[0-9a-f]{16,}|\d+")


def run(nights: int = NIGHTS, home: str = "") -> dict[str, object]:
    """A chain of so many nights without a server; then one more, and `status`, with their reads counted."""
    place = Path(home or tempfile.mkdtemp(prefix="nightloop-bench-"))
    os.environ |= {"NIGHTLOOP_HOME": str(place / "home"), "NIGHTLOOP_PREFECT": "0", "NIGHTLOOP_RUNNER": "sequential"}
    from nightloop.flows.backfill import backfill
    from nightloop.flows.nightly import nightly
    from nightloop.flows.status import status
    from nightloop.tasks.objects.objects import Directory
    from nightloop.tasks.simulation.deliver import deliver
    from tests.flows.tiny_pipeline import HISTORY, WORLD, raw_plan

    world = replace(WORLD, start="2025-01-01")
    days = [deliver(world, place / "in", day).stem for day in range(HISTORY + nights + 1)]
    training = {"training": {"epochs": 1}}
    strategies = {
        "still": {"use": "NoUpdate"}, "popular": {"use": "Popularity"}, "recent": {"use": "Recency"},
        "tuned": {"use": "FineTune", "options": training}, "full": {"use": "FullRetrain", "options": {"window": 2, **training}},
        "near": {"use": "L2SP", "options": training},
    }  # fmt: skip
    path = place / "tiny.yaml"
    path.write_text(
        yaml.safe_dump(raw_plan(place, {"strategies": strategies, "periods": {"every": "day", "start": world.start}}))
    )
    if not (place / "home").exists():
        nightly(str(path), days[HISTORY - 1])
    backfill(str(path), end=days[HISTORY + nights - 2], what="missing")

    counted: Counter[str] = Counter()
    read, pause = Directory.read, 0.0

    def counting(self: Directory, key: str) -> tuple[bytes, str] | None:
        counted[PART.sub("N", key)] += 1
        time.sleep(pause)
        return read(self, key)

    Directory.read = counting  # type: ignore[method-assign]
    try:
        nightly(str(path), days[HISTORY + nights - 1])
        night = counted.copy()
        counted.clear()
        pause, began = PAUSE, time.perf_counter()
        status(str(path))
        seconds = time.perf_counter() - began
    finally:
        Directory.read = read  # type: ignore[method-assign]
    return {
        "name": f"reads-{NIGHTS}",
        "value": night.total(),
        "unit": f"reads of night {nights + 1}",
        "target": f"<= {READS} reads, status <= {SECONDS} s with {PAUSE} s before every read",
        "met": night.total() <= READS and seconds <= SECONDS,
        "detail": {"seconds_of_status": round(seconds, 2), "reads_of_status": counted.total(), "reads": dict(night.most_common())},
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:2]), *sys.argv[2:3]), indent=2))
