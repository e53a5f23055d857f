"""Encode: a batch of clean rows as the columns of logs, with ids replaced by vocabulary rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary, encode, split_values
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Plan


def encode_rows(
    plan: Plan, vocabulary: Vocabulary, sizes: Sequence[int], batch: pa.Table
) -> dict[str, npt.NDArray[np.generic]]:
    """The columns of logs that a batch of clean rows makes."""
    table = split_values(batch, plan.columns)
    rows, values = [], []
    for field, size in zip(vocabulary.fields, sizes, strict=True):
        if most := plan.columns.multi_value.get(field, 0):
            values.append(_encode_lists(vocabulary, field, size, table.column(field), most))
        rows.append(values[-1][:, 0] if most else _encode_column(vocabulary, field, size, table.column(field)))
    numbers = [_read_numbers(table, name) for name in plan.columns.numeric]
    columns: dict[str, npt.NDArray[np.generic]] = {
        "periods": np.asarray(table.column("period").to_numpy(), dtype=np.int32),
        "rows": np.stack(rows, axis=1),
        "time": np.asarray(table.column("time").cast(pa.int64()).to_numpy(), dtype=np.int64),
        "numeric": np.stack(numbers, axis=1) if numbers else np.empty((len(table), 0), dtype=np.float32),
        "values": np.concatenate(values, axis=1) if values else np.empty((len(table), 0), dtype=np.int64),
    }
    if plan.columns.label:
        columns["label"] = _read_numbers(table, "label")
    if plan.columns.logged_probability:
        columns["served"] = _read_numbers(table, "served", math.nan)
    return columns


def vocabulary_rows_of(vocabulary: Vocabulary, field: str, values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The row of each value: [n] int64. Raises DataError for an id that the vocabulary lacks."""
    rows = encode(vocabulary, field, values)
    if (unknown := np.flatnonzero(rows < 0)).size:
        shown = str(values[int(unknown[0])])[:60]
        raise DataError(
            f"{field}: {unknown.size:,} rows have ids that the vocabulary lacks, such as {shown!r}: grow it first"
        )
    return rows


def _encode_lists(
    vocabulary: Vocabulary, field: str, size: int, lists: pa.ChunkedArray, most: int
) -> npt.NDArray[np.int64]:
    """Rows of the first `most` values of each list, -1 if there are fewer: [n, most]."""
    whole = lists.combine_chunks()
    parent = np.asarray(pc.list_parent_indices(whole), dtype=np.int64)
    first = np.searchsorted(parent, np.arange(len(whole)))
    position = np.arange(len(parent)) - first[parent]
    rows = np.full((len(whole), most), -1, dtype=np.int64)
    encoded = _encode_column(vocabulary, field, size, pc.list_flatten(whole))
    rows[parent[position < most], position[position < most]] = encoded[position < most]
    return rows


def _encode_column(
    vocabulary: Vocabulary, field: str, size: int, values: pa.Array | pa.ChunkedArray
) -> npt.NDArray[np.int64]:
    """Rows of one field, all below `size`."""
    rows = vocabulary_rows_of(vocabulary, field, values)
    if field in vocabulary.rare:
        return np.where(rows < size, rows, 0)  # a value that got its row later was rare then
    if len(rows) and rows.max() >= size:
        raise DataError(
            f"{field}: an id of these logs first occurs after them: the vocabulary belongs to another history"
        )
    return rows


def _read_numbers(table: pa.Table, name: str, missing: float = 0.0) -> npt.NDArray[np.float32]:
    return np.asarray(pc.fill_null(table.column(name), missing).to_numpy(), dtype=np.float32)
