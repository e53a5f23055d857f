"""Benchmark `growth`: what a whole night takes at 1, 3 and 10 times the rows, users, nights and strategies, each by itself.

A night runs without a server, from the delivered file to the report, in a new process that ran the night before it already.
Measured are the CPU seconds with those of the smoke test's process, the peak of memory, the reads of the store, and the
bytes that the night adds to store and lake. Worse than linear is more than LINEAR times the growth. Reads may grow with
the strategies alone.

python -m tests.benchmarks.growth 1000000 100000    # one night of so many rows and users
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nightloop.tasks.simulation.deliver import deliver
from nightloop.tasks.sources.simulated import Simulated

BASE = {"rows": 10_000, "users": 2_000, "nights": 3, "strategies": 2}
TIMES, ITEMS, HISTORY = (1, 3, 10), 1_000, 2
LINEAR, FLAT = 1.5, 1.1
QUANTITIES = {"CPU seconds": "CPU time", "MiB": "peak memory", "reads": "reads of the store", "kB": "bytes stored"}
T = TypeVar("T")


def run() -> dict[str, object]:
    """All nights, and how much each quantity grows."""
    from tests.benchmarks.worlds import picture

    base = night(BASE)
    found = {
        what: [base, *(night({**BASE, what: BASE[what] * times}) for times in TIMES[1:])] for what in BASE
    }  # fmt: skip
    growth = {
        quantity: {
            what: [round(one[quantity] / nights[0][quantity], 2) for one in nights] for what, nights in found.items()
        }
        for quantity in QUANTITIES
    }
    worse = [
        f"{quantity} with {what}" for quantity, lines in growth.items() for what, times in lines.items()
        if times[-1] > (FLAT if quantity == "reads" and what != "strategies" else LINEAR * TIMES[-1])
    ]  # fmt: skip
    pictures = [
        picture(f"growth-{quantity.split()[0].lower()}", f"{words[0].upper()}{words[1:]} of a night",
                "relative to the smallest night", growth[quantity], [f"{times} x" for times in TIMES],
                ("size", words))
        for quantity, words in QUANTITIES.items()
    ]  # fmt: skip
    return {
        "value": max(times[-1] for lines in growth.values() for times in lines.values()),
        "unit": f"times the smallest night, at {TIMES[-1]} times its size, of what grows most",
        "target": "none worse than linear; reads grow with the strategies alone",
        "met": not worse,
        "detail": {"base": BASE, "worse": worse, "growth": growth, "nights": found, "pictures": pictures},
    }


def night(sizes: dict[str, int]) -> dict[str, float]:
    """What the last night of a new pipeline of such sizes takes."""
    with tempfile.TemporaryDirectory(prefix="nightloop-bench-") as home:
        run_alone(build, home, sizes)
        return run_alone(measure, home, sizes)


def run_alone(work: Callable[[Path, dict[str, int]], T], home: str, sizes: dict[str, int]) -> T:
    """The result of a function in a new process whose home is under `home`."""
    os.environ |= {"NIGHTLOOP_HOME": f"{home}/home", "NIGHTLOOP_PREFECT": "0", "NIGHTLOOP_RUNNER": "sequential"}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, Path(home), sizes).result()


def build(place: Path, sizes: dict[str, int]) -> None:
    """The plan, the deliveries, and the chain up to two nights before the last."""
    from nightloop.flows.backfill import backfill
    from nightloop.flows.nightly import nightly
    from tests.flows.tiny_pipeline import raw_plan

    world = Simulated(users=sizes["users"], items=ITEMS, rows=sizes["rows"], start="2026-01-01", seed=3)
    days = [deliver(world, place / "in", day).stem for day in range(HISTORY + sizes["nights"] + 1)]
    strategies = {
        f"tuned-{number}": {"use": "FineTune", "options": {"training": {"epochs": 1, "l2": 0.001 * (number + 1)}}}
        for number in range(sizes["strategies"])
    }
    model = {"use": "MF", "options": {"width": 16}}
    (place / "plan.yaml").write_text(yaml.safe_dump(raw_plan(place, {"strategies": strategies, "model": model})))
    (place / "days.json").write_text(json.dumps(days))
    nightly(str(place / "plan.yaml"), days[HISTORY - 1])
    backfill(str(place / "plan.yaml"), end=days[-3], what="missing")


def measure(place: Path, sizes: dict[str, int]) -> dict[str, float]:
    """The last night, after the one before it, which imports and compiles what both need."""
    from nightloop.flows.nightly import nightly
    from nightloop.tasks.objects.objects import Directory

    days, plan = json.loads((place / "days.json").read_text()), str(place / "plan.yaml")
    nightly(plan, days[-2])
    counted: Counter[str] = Counter()
    read = Directory.read

    def counting(self: Directory, key: str) -> Any:
        counted["reads"] += 1
        return read(self, key)

    Directory.read = counting
    before, stored = processor_seconds(), _stored(place)
    nightly(plan, days[-1])
    return {
        "CPU seconds": round(processor_seconds() - before, 2),
        "MiB": int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) // 1024,
        "reads": counted["reads"],
        "kB": (_stored(place) - stored) // 1000,
    }


def processor_seconds() -> float:
    """CPU seconds of this process and of those that it has ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _stored(place: Path) -> int:
    """Bytes of store and lake."""
    return sum(path.stat().st_size for path in (place / "home").rglob("*") if path.is_file())


if __name__ == "__main__":
    given = dict(zip(("rows", "users"), map(int, sys.argv[1:]), strict=False))
    print(json.dumps(night({**BASE, **given}) if given else run(), indent=2))
