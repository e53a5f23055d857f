"""Delivers a simulated world as one file a day, good or spoiled, as an upstream system would.

Read them with the `files` source and `{period}` in its path. A spoiled day that is delivered again, whole, is late
data: collecting it again makes a new version, and the plan does not change.
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class World(Protocol):
    """A simulated world: the source `simulated`."""

    @property
    def start(self) -> str:
        """The first day."""

    def day(self, number: int) -> pa.RecordBatch:
        """The logs of a day."""


def deliver(world: World, folder: Path, number: int, bad: bool = False) -> Path:
    """Write day `number` as `<folder>/<YYYY-MM-DD>.parquet`, in one step, over what is there. Returns the path."""
    batch = world.day(number)
    table = pa.Table.from_batches([spoil_delivery(batch, number) if bad else batch])
    name = (date.fromisoformat(world.start) + timedelta(days=number)).isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / f"{name}.parquet", folder / f".{name}.part"
    pq.write_table(table, part)
    os.replace(part, path)
    return path


def spoil_delivery(batch: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """What a broken upstream leaves: half the day is missing, a third of the items null, some prices absurd."""
    half = batch.slice(0, max(1, batch.num_rows // 2))
    random = np.random.default_rng([number, 3])
    columns = {name: half.column(name) for name in half.schema.names}
    columns["item_id"] = _with_nulls(columns["item_id"], random.random(half.num_rows) < 1 / 3)
    absurd = random.random(half.num_rows) < 0.1
    columns["price"] = pa.array(np.where(absurd, -1e9, columns["price"].to_numpy()))
    columns["category"] = pa.array(["unknown"] * half.num_rows, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def _with_nulls(values: pa.Array, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pa.Array:
    return pa.array(np.where(mask, None, values.to_numpy(zero_copy_only=False)), pa.string())
