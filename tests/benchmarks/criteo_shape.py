"""Benchmark `criteo-shape`: a full retrain of DeepFM (d = 10) on parts of a history as wide as Criteo's, carried on to all of it.

The click world of Criteo's published shape (seven days, 13 numeric and 26 categorical columns, user and item among them)
is landed with fewer rows a day; then, for each network, another process reads all of it and trains for one epoch. Logs lie
in files whatever their size, as those of the whole history do by default (12.7 GB). Memory is the most that was anonymous
(RssAnon, looked at every 10 ms): what a process cannot give back. Pages of files (RssFile) are the system's cache and are
told apart: it takes them back when it must, and training then waits for the disk.

Training is carried on to 45,840,617 rows by a straight line over rows through the smallest and the largest part; that is
too high, as the vocabulary grows ever more slowly. Reading holds a batch, the vocabulary and what DuckDB may take
(`NIGHTLOOP_MEMORY`; here a fifth of the usual 1500 MB, so that it spills as it would on Criteo's days): it is carried on by
a line over ids up to all that the world has, and the rest of the usual 1500 MB is added. Landing is timed alone: here it
shares its process with the making of the world (its memory: benchmark `collect`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import reduce
from pathlib import Path

import torch

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.vocabulary import (
    empty_vocabulary,
    grow_vocabulary,
    vocabulary_from_bytes,
    vocabulary_to_bytes,
)
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Calendar, Part, Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.sources.click_world import ITEM, ClickWorld
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.training.resize import initial_weights

WHOLE, DAYS, TARGET = 45_840_617, 7, 6.0  # rows, days, GiB
DUCKDB = 300  # MB
PARTS = (500_000, 1_000_000, 2_000_000)
NETWORKS = {"64 x 2": (64, 64), "400 x 3": (400, 400, 400)}
VERSIONS = [(day, 1) for day in range(DAYS)]
ONE_EPOCH = TrainConfig(epochs=1, batch_size=4096, lr=0.02, dense_lr=0.001)


def run() -> dict[str, object]:
    """The most memory that the whole history would take, of either network, and how long it would take."""
    found = {}
    for rows in PARTS:
        with tempfile.TemporaryDirectory() as home:
            landed = apart("landed", rows, home)
            found[rows] = {"landing": landed, **{name: apart("retrained", name, home) for name in NETWORKS}}
    first, last = (found[rows] for rows in (PARTS[0], PARTS[-1]))
    whole = {name: projected(first[name], last[name]) for name in NETWORKS}
    peak = max(gib for one in whole.values() for what, gib in one.items() if what.startswith("GiB"))
    whole["landing"] = {"hours": round(WHOLE / last["landing"]["rows a second"] / 3600, 2)}
    return {
        "value": peak, "unit": "GiB", "target": f"below {TARGET:g} GiB", "met": peak < TARGET,
        "detail": {f"{WHOLE:,} rows, projected": whole, **{f"{rows:,} rows": one for rows, one in found.items()}},
    }  # fmt: skip


def projected(first: dict[str, float], last: dict[str, float]) -> dict[str, float]:
    """Memory of each step by the line through two parts, hours at the larger one's pace."""
    sizes = world().sizes
    ends = {"rows": WHOLE, "ids": int(sizes.sum() + sizes[ITEM])}  # an item is replaced once in a week
    found = {}
    for step, over, more in (("training", "rows", 0), ("reading", "ids", 1500 - DUCKDB)):
        memory = f"GiB {step}"
        a_step = (last[memory] - first[memory]) / (last[over] - first[over])
        found[memory] = round(last[memory] + max(a_step, 0) * (ends[over] - last[over]) + more * 1e6 / 2**30, 2)
        found[f"bytes {step}, for each of the {over}"] = round(a_step * 2**30, 1)
        found[f"hours {step}"] = round(WHOLE / last[f"rows a second {step}"] / 3600, 2)
    return found


def apart(act: str, *words: object) -> dict[str, float]:
    """What a function of this file returns, in a process of its own."""
    code = f"import json; from tests.benchmarks import criteo_shape as c; print(json.dumps(c.{act}(*{words!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def landed(rows: int, home: str) -> dict[str, float]:
    """Collect the world's days and keep their vocabulary. Its own making is not counted."""
    torch.set_num_threads(1)
    order, words = plan(), empty_vocabulary(world().columns)
    began, drawn = time.perf_counter(), 0.0
    with lake(home) as warehouse:
        for day, _ in VERSIONS:
            now = period(order.periods, day)
            draws = time.perf_counter()
            made = Made(list(world(rows // DAYS).batches(warehouse, now, order.columns)))
            drawn += time.perf_counter() - draws
            land_period(warehouse, made, order, now)
            words = reduce(grow_vocabulary, clean_ids(warehouse, order, day, 1), words)
    (Path(home) / "words").write_bytes(vocabulary_to_bytes(words))
    took = time.perf_counter() - began - drawn
    return {"ids": sum(words.sizes(DAYS)), "rows a second": round(rows / took)}


def retrained(network: str, home: str) -> dict[str, float]:
    """Read all days and train on them."""
    torch.set_num_threads(1)
    order, words = plan(), vocabulary_from_bytes((Path(home) / "words").read_bytes())
    with watched() as while_reading:
        began = time.perf_counter()
        with lake(home) as warehouse:
            logs = read_logs(warehouse, order, words, VERSIONS, seed=0)
        read = time.perf_counter() - began
    with watched() as while_training:
        model = DeepFM(logs.fields, numeric=logs.numeric.shape[1], width=10, hidden=NETWORKS[network])
        start = Checkpoint(logs.period, initial_weights(model, logs))
        began, worked = time.perf_counter(), time.process_time()
        fold(model, FullRetrain(ONE_EPOCH, begin="scratch"), start, logs)
        took, worked = time.perf_counter() - began, time.process_time() - worked
    rows = len(logs)
    files = sum(c.nbytes for c in (logs.periods, logs.rows, logs.numeric, logs.label, logs.time)) / rows
    return {
        "rows": rows, "ids": sum(logs.sizes),
        "rows a second reading": round(rows / read), "rows a second training": round(rows / took),
        "rows a processor second training": round(rows / worked), "GiB reading": while_reading["RssAnon"],
        "GiB training": while_training["RssAnon"], "GiB of file pages": while_training["RssFile"], "bytes of files a row": files,
    }  # fmt: skip


class Made:
    """A source whose batches are there already, so that drawing them is not part of what is timed."""

    def __init__(self, ready: list[object]) -> None:
        self.ready = ready

    def batches(self, *asked: object) -> list[object]:
        """All of them."""
        return self.ready


def lake(home: str) -> AbstractContextManager[Warehouse]:
    """A lake whose logs all go into files, with little memory for DuckDB."""
    return Warehouse.open(Settings(home=Path(home), logs_memory=0, memory=f"{DUCKDB}MB"), "criteo")


def world(rows: int = 0) -> ClickWorld:
    """The click world of Criteo's shape, with `rows` a day."""
    return ClickWorld("criteo", "full", rows=rows)


def plan() -> Plan:
    """Every column in its role, a period a day."""
    part = Part(use="any")
    return Plan(
        pipeline="criteo", source=part, columns=world().columns, pretrain=part, model=part, strategies={"one": part},
        periods=Calendar(start=world().start),
    )  # fmt: skip


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """The most GiB that RssAnon and RssFile of this process were, so far and, after the block, within it."""
    most, done = {"RssAnon": 0.0, "RssFile": 0.0}, threading.Event()

    def look() -> None:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in most:
                most[name] = max(most[name], round(int(value.split()[0]) / 2**20, 3))

    def watch() -> None:
        while not done.wait(0.01):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        look()
        done.set()
        watcher.join()
