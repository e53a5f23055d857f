"""Benchmark `collect`: a csv of 1,000,000 rows and 6 columns, collected, validated and landed by a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ROWS, TARGET, MOST = 1_000_000, 2.5, 2.0  # rows, seconds, GiB
CHUNK = 500_000
DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01 UTC in µs


def run() -> dict[str, object]:
    """One result: seconds from a process's start, imports included, and its peak memory at 1 and 10 million rows."""
    with tempfile.TemporaryDirectory() as folder:
        one = _measure(Path(folder), ROWS)
        ten = _measure(Path(folder), 10 * ROWS)
    flat = ten["gib"] < MOST  # bounded by NIGHTLOOP_MEMORY (1500MB), whatever the rows
    return {
        "name": "collect", "value": round(one["seconds"], 2), "unit": "s", "target": TARGET,
        "met": one["seconds"] <= TARGET and one["gib"] < MOST and flat,
        "detail": {
            "1,000,000 rows": one, "10,000,000 rows": ten, "memory is flat": flat,
            "CPU seconds of the import of Great Expectations, which runs beside the collection": _import_seconds(),
        },
    }  # fmt: skip


def _import_seconds() -> float:
    """The CPU seconds that a new process takes to import Great Expectations."""
    code = "import time; import great_expectations; print(time.process_time())"
    return round(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout), 2
    )


def write_rows(path: Path, rows: int) -> Path:
    """A csv of one day's impressions, ordered by time."""
    random = np.random.default_rng(0)
    with pa.csv.CSVWriter(path, _batch(random, 0, 1, 1).schema) as writer:
        for first in range(0, rows, CHUNK):
            writer.write_batch(_batch(random, first, min(CHUNK, rows - first), rows))
    return path


def _batch(random: np.random.Generator, first: int, size: int, rows: int) -> pa.RecordBatch:
    times = START + (first + np.arange(size)) * (DAY // rows)
    return pa.RecordBatch.from_pydict({
        "user": pa.array(random.zipf(1.2, size) % 200_000), "item": pa.array(random.zipf(1.2, size) % 100_000),
        "time": pa.array(times, pa.timestamp("us")), "click": pa.array((random.random(size) < 0.1).astype(np.int8)),
        "device": pa.array(np.array(["phone", "web", "tablet"])[random.integers(0, 3, size)]),
        "price": pa.array(random.gamma(2.0, 20.0, size).round(2)),
    })  # fmt: skip


def _measure(folder: Path, rows: int) -> dict[str, float]:
    home = folder / f"home-{rows}"
    home.mkdir()
    file = write_rows(home / "2026-01-01.csv", rows)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.collect_once", str(file), str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    file.unlink()
    return {name: round(float(value), 3) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}
