"""Vocabulary: the row of every user, item and category, given on first sight and never taken back.

A pure fold over clean logs. Each night's manifest carries its own, so that no night knows an id of a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.plan.plan import Columns

MISSING = ""  # the id of a category that a row does not have


@dataclass(frozen=True)
class Vocabulary:
    """Per field the ids in the order of their rows (text) and the period each was born in (int32, never falling)."""

    ids: Mapping[str, pa.Array]
    births: Mapping[str, pa.Array]

    @property
    def fields(self) -> tuple[str, ...]:
        """user, item, then the plan's categorical columns."""
        return tuple(self.ids)

    def sizes(self, period: int) -> tuple[int, ...]:
        """How many rows each field had at the close of `period`."""
        return tuple(int(np.searchsorted(born.to_numpy(), period, side="right")) for born in self.births.values())


def empty(columns: Columns) -> Vocabulary:
    """The vocabulary before the first row."""
    fields = ("user", "item", *columns.categorical)
    return Vocabulary(
        {f: pa.array([], pa.large_string()) for f in fields}, {f: pa.array([], pa.int32()) for f in fields}
    )


def grow(vocabulary: Vocabulary, table: pa.Table) -> Vocabulary:
    """The vocabulary with the new ids of `table` behind the old ones, in the order of first sight.

    `table` has the column `period` (int) and one column of text per field, its rows ordered by (period, time, user,
    item). Raises ValueError where its periods fall, or come before one that the vocabulary has seen already.
    """
    periods = np.asarray(table.column("period"), dtype=np.int32)
    if len(periods) and (np.diff(periods) < 0).any():
        raise ValueError("rows that a vocabulary grows by must be ordered by period")
    ids, births = {}, {}
    for field in vocabulary.fields:
        old, born = vocabulary.ids[field], vocabulary.births[field]
        new, first = _first_seen(_text(table.column(field)), old)
        if len(new) and len(born) and periods[first[0]] < born[-1].as_py():
            raise ValueError(f"period {periods[first[0]]} comes after {born[-1]} was seen: a vocabulary grows in order")
        ids[field] = pa.concat_arrays([old, new])
        births[field] = pa.concat_arrays([born, pa.array(periods[first], pa.int32())])
    return Vocabulary(ids, births)


def encode(vocabulary: Vocabulary, field: str, values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The row of each value (text; null is the missing category): [n] int64, -1 where it was never seen."""
    found = pc.index_in(_text(values), value_set=vocabulary.ids[field])
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def to_bytes(vocabulary: Vocabulary) -> bytes:
    """An Arrow file with one row of lists per field; equal vocabularies give equal bytes."""
    names = pa.array(list(vocabulary.fields), pa.string())
    lists = {"field": names, "ids": _lists(vocabulary.ids), "births": _lists(vocabulary.births)}
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pydict(lists)
    with pa.ipc.new_file(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def from_bytes(data: bytes) -> Vocabulary:
    """The vocabulary of `to_bytes`. Raises ValueError where the bytes are not a whole one."""
    try:
        with pa.ipc.open_file(pa.BufferReader(data)) as file:
            table = file.read_all()
        table.validate(full=True)
        fields = table.column("field").to_pylist()
        ids = {f: table.column("ids")[i].values.cast(pa.large_string()) for i, f in enumerate(fields)}
        births = {f: table.column("births")[i].values.cast(pa.int32()) for i, f in enumerate(fields)}
    except (pa.ArrowException, KeyError, AttributeError, OSError) as error:
        raise ValueError(f"these {len(data):,} bytes are no vocabulary: {error}") from error
    if any(len(ids[f]) != len(births[f]) for f in fields):
        raise ValueError("this vocabulary is damaged: ids and births do not match")
    return Vocabulary(ids, births)


def _lists(values: Mapping[str, pa.Array]) -> pa.Array:
    """One list per field."""
    ends = np.cumsum([0, *(len(v) for v in values.values())])
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.concat_arrays(list(values.values())))


def _text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of text, nulls as the missing category."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    return pc.fill_null(whole.cast(pa.large_string()), MISSING)


def _first_seen(values: pa.Array, old: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The values that are not in `old`, once each in order of first sight, and where each was first seen."""
    fresh = np.flatnonzero(np.asarray(pc.invert(pc.is_in(values, value_set=old)).to_numpy(zero_copy_only=False)))
    coded = values.take(pa.array(fresh)).dictionary_encode()
    codes = np.asarray(coded.indices)
    first = np.full(len(coded.dictionary), len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return coded.dictionary, fresh[first]
