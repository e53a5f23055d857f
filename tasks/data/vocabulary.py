"""Vocabulary: the row of every user, item and category, given at the first occurrence and never changed.

With the plan's `columns.min_count` a category gets its row once it was seen more often than that; until then it shares one,
row 0, with all others of its field. It depends only on clean logs. Each night's manifest has its own, so that no night
knows an id of a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.rare_values import ValueCounts, frequent_values, no_counts
from nightloop.tasks.lake.values import BETWEEN, MISSING, replace_column
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns


@dataclass(frozen=True)
class Vocabulary:
    """Per field the ids in the order of their rows (text) and the period each was born in (int32, never falling).

    `rare` has the fields whose rare values share a row, and what is counted of them; the id of that row is null.
    """

    ids: Mapping[str, pa.Array]
    births: Mapping[str, pa.Array]
    rare: Mapping[str, ValueCounts] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """user, item, then the plan's categorical columns."""
        return tuple(self.ids)

    def sizes(self, period: int) -> tuple[int, ...]:
        """How many rows each field had at the close of `period`."""
        return tuple(int(np.searchsorted(born.to_numpy(), period, side="right")) for born in self.births.values())


def empty_vocabulary(columns: Columns) -> Vocabulary:
    """The vocabulary before the first row."""
    fields = ("user", "item", *columns.categorical)
    return Vocabulary(
        {f: pa.array([], pa.large_string()) for f in fields},
        {f: pa.array([], pa.int32()) for f in fields},
        {f: no_counts(columns.rare) for f in columns.categorical if columns.rare},
    )


def grow_vocabulary(vocabulary: Vocabulary, table: pa.Table) -> Vocabulary:
    """The vocabulary with the new ids of `table` behind the old ones, in the order in which they got their rows.

    `table` has the column `period` (int) and one column of text, or of lists of texts, per field, its rows ordered by (period, time, user,
    item). Raises DataError if its periods fall, or come before one that the vocabulary has seen already.
    """
    periods = np.asarray(table.column("period"), dtype=np.int32)
    if len(periods) and (np.diff(periods) < 0).any():
        raise DataError("the rows that extend a vocabulary must be ordered by period")
    ids, births, rare = {}, {}, dict(vocabulary.rare)
    for name in vocabulary.fields:
        old, born = vocabulary.ids[name], vocabulary.births[name]
        values, row = _flatten(table.column(name))
        if name in rare:
            rare[name], new, first = _count_rare_values(rare[name], values, old)
        else:
            new, first = _find_new_values(values, old)
        first = row[first]
        if len(new) and len(born) and periods[first[0]] < born[-1].as_py():
            raise DataError(f"period {periods[first[0]]} comes after {born[-1]} was seen: a vocabulary grows in order")
        ids[name] = pa.concat_arrays([old, new])
        births[name] = pa.concat_arrays([born, pa.array(periods[first], pa.int32())])
    return Vocabulary(ids, births, rare)


def encode(vocabulary: Vocabulary, field: str, values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The row of each value (text; null is the missing category): [n] int64, -1 if it never occurred.

    A value without a row of its own has row 0 if the field's rare values share it.
    """
    found = pc.index_in(_to_text(values), value_set=vocabulary.ids[field])
    unseen = 0 if field in vocabulary.rare and len(vocabulary.ids[field]) else -1
    return np.asarray(pc.fill_null(found, unseen).to_numpy(zero_copy_only=False), dtype=np.int64)


def vocabulary_to_bytes(vocabulary: Vocabulary) -> bytes:
    """An Arrow file with one row of lists per field; equal vocabularies give equal bytes."""
    names = pa.array(list(vocabulary.fields), pa.string())
    lists = {"field": names, "ids": _to_lists(vocabulary.ids), "births": _to_lists(vocabulary.births)}
    if vocabulary.rare:
        lists |= _rare_lists(vocabulary)
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pydict(lists)
    with pa.ipc.new_file(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def vocabulary_from_bytes(data: bytes) -> Vocabulary:
    """The vocabulary that `vocabulary_to_bytes` wrote. Raises DataError if the bytes are not complete."""
    try:
        with pa.ipc.open_file(pa.BufferReader(data)) as file:
            table = file.read_all()
        table.validate(full=True)
        fields = table.column("field").to_pylist()
        ids = {f: table.column("ids")[i].values.cast(pa.large_string()) for i, f in enumerate(fields)}
        births = {f: table.column("births")[i].values.cast(pa.int32()) for i, f in enumerate(fields)}
        rare = _rare_of(table, fields) if "most" in table.column_names else {}
    except (pa.ArrowException, KeyError, AttributeError, OSError) as error:
        raise DataError(f"these {len(data):,} bytes are not a vocabulary: {error}") from error
    if any(len(ids[f]) != len(births[f]) for f in fields):
        raise DataError("this vocabulary is damaged: ids and births do not match")
    return Vocabulary(ids, births, rare)


def _to_lists(values: Mapping[str, pa.Array]) -> pa.Array:
    """One list per field."""
    ends = np.cumsum([0, *(len(v) for v in values.values())])
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.concat_arrays(list(values.values())))


def _rare_lists(vocabulary: Vocabulary) -> dict[str, pa.Array]:
    """The counts of each field; empty for fields that have a row for every value."""
    counts_of = {name: vocabulary.rare.get(name, no_counts(0)) for name in vocabulary.fields}
    return {
        "most": pa.array([counts.most for counts in counts_of.values()], pa.int64()),
        "values": _to_lists({name: counts.values for name, counts in counts_of.items()}),
        "counts": _to_lists({name: counts.counts for name, counts in counts_of.items()}),
    }


def _rare_of(table: pa.Table, fields: list[str]) -> dict[str, ValueCounts]:
    """The counts that `_rare_lists` wrote."""
    columns = (table.column(name) for name in ("most", "values", "counts"))
    counts_of = {
        name: ValueCounts(m.as_py(), v.values, c.values) for name, m, v, c in zip(fields, *columns, strict=True)
    }
    return {name: counts for name, counts in counts_of.items() if counts.most}


def split_values(table: pa.Table, columns: Columns) -> pa.Table:
    """The table with lists of texts for the plan's multi-value columns, whose values are one text with | between them."""
    for name in columns.multi_value:
        table = replace_column(table, name, pc.split_pattern(pc.fill_null(table.column(name), MISSING), BETWEEN))
    return table


def _flatten(values: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """All values of a column, of lists one after the other, and the row each is in."""
    if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
        return _to_text(values), np.arange(len(values))
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return _to_text(pc.list_flatten(whole)), np.asarray(pc.list_parent_indices(whole), dtype=np.int64)


def _to_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of text, nulls as the missing category."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    return pc.fill_null(whole.cast(pa.large_string()), MISSING)


def _find_new_values(values: pa.Array, old: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The values that are not in `old`, once each in order of first occurrence, and its position."""
    unknown = np.flatnonzero(np.asarray(pc.invert(pc.is_in(values, value_set=old)).to_numpy(zero_copy_only=False)))
    encoded = values.take(pa.array(unknown)).dictionary_encode()
    codes = np.asarray(encoded.indices)
    first = np.full(len(encoded.dictionary), len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return encoded.dictionary, unknown[first]


def _count_rare_values(
    rare: ValueCounts, values: pa.Array, old: pa.Array
) -> tuple[ValueCounts, pa.Array, npt.NDArray[np.int64]]:
    """The counts after these values; the new ids, and the position at which each got its row.

    The first row of a field is the one that rare values share.
    """
    rare_positions = np.flatnonzero(~frequent_values(values, old))
    left, new, crossed = rare.count(values.take(pa.array(rare_positions)))
    first = rare_positions[crossed]
    if len(old) or not len(values):
        return left, new, first
    return left, pa.concat_arrays([pa.nulls(1, pa.large_string()), new]), np.concatenate([[0], first])
