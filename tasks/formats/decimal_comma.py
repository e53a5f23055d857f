"""Decimal comma: the numbers of a text file whose decimals stand behind another character than a point."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.values import replace_column
from nightloop.tasks.plan.plan import Columns


def with_points(batch: pa.RecordBatch, decimal: str, columns: Columns) -> pa.RecordBatch:
    """The batch with a decimal point in its numbers, and in ids that are whole numbers with decimals. `decimal`: what the file has."""
    if decimal == ".":
        return batch
    other = f" (has {'.'!r}, and decimals stand behind {decimal!r})"
    for name in {*batch.schema.names} & {columns.label, columns.logged_probability, *columns.numeric}:
        batch = replace_column(batch, name, _replace_comma(batch.column(name), decimal, other))
    for name in {columns.user, columns.item, *columns.categorical, *columns.key} & {*batch.schema.names}:
        whole = pc.replace_substring_regex(batch.column(name), rf"^\s*(-?[0-9]+){decimal}(0+)\s*$", r"\1.\2")
        batch = replace_column(batch, name, whole)
    return batch


def _replace_comma(values: pa.Array, decimal: str, other: str) -> pa.Array:
    """Numbers with a decimal point; those that have one already get a note, because the point may separate thousands."""
    pointed = pc.match_substring(values, ".")
    return pc.if_else(
        pointed, pc.binary_join_element_wise(values, other, ""), pc.replace_substring(values, decimal, ".")
    )
