"""Deciding values: the few values of a column that break a row rule exactly when some value of the column does.

They are the smallest and the largest of a range, one missing value, or the different ones. Rows are streamed, so that memory
does not grow with the period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.validation.row_rules import RowRule


def deciding_values(
    rules: Sequence[RowRule], batches: Iterable[pa.Table], most: int
) -> Iterator[Mapping[str, pa.Array]]:
    """For each rule, by its code, the values that decide it: once at the end, and whenever there are more than `most` of one rule."""
    found: dict[tuple[str, str], pa.Array] = {}
    wanted = {(rule.column, _which(rule)) for rule in rules}
    for batch in batches:
        for name, which in wanted:
            values = _select(which, comparable(batch.column(name)))
            found[name, which] = (
                _select(which, pa.concat_arrays([found[name, which], values])) if (name, which) in found else values
            )
        if max(map(len, found.values())) > most:
            yield {rule.code: found[rule.column, _which(rule)] for rule in rules}
            found = {}
    if found:
        yield {rule.code: found[rule.column, _which(rule)] for rule in rules}


def comparable(column: pa.ChunkedArray) -> pa.Array:
    """A column as rules compare it: times as µs, and NaN as infinity, because to pandas a NaN is a missing value."""
    values = column.combine_chunks()
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), math.inf, values)
    return values


def _which(rule: RowRule) -> str:
    """Which values of its column decide a rule."""
    return {"null": "one missing", "range": "ends", "outside": "ends"}.get(rule.kind, "different")


def _select(which: str, values: pa.Array) -> pa.Array:
    """The deciding ones among the values, at least one."""
    if which == "one missing":
        return pa.nulls(1, values.type) if values.null_count else values.slice(0, 1)
    if which == "ends":
        ends = pc.min_max(values)
        return pa.array([ends["min"].as_py(), ends["max"].as_py()], values.type)
    return pc.unique(values)
