"""Path columns: what folders named key=value say of all rows of a file, as Hive names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.incoming import LINE, flat_column
from nightloop.tasks.lake.values import WORDS, as_text, replace_column
from nightloop.tasks.plan.errors import DataError

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
MOST = 1000  # values of a batch that are compared


def in_path(file: str) -> dict[str, str | None]:
    """The columns that the path of a file gives all its rows: those of folders named key=value, as Hive names them."""
    pairs = (part.partition("=") for part in file.split("/")[:-1])
    return {key: None if value == NO_VALUE else unquote(value) for key, sign, value in pairs if sign and key}


def with_path_columns(
    batch: pa.RecordBatch, wanted: Sequence[str], constant: Mapping[str, str | None], time: str
) -> pa.RecordBatch:
    """The batch with all wanted columns: what a row lacks has the value of the file's path, `constant`, otherwise null.

    Raises DataError if a row has another value than the path: Spark, Hive
    and DuckDB take that of the path, and pandas that of the file. A path says the period of the column `time` at most.
    """
    for name in wanted:
        value = pa.scalar(None if name == time else constant.get(name), pa.string())
        if name not in batch.schema.names:
            batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
        elif value.is_valid and not pa.types.is_nested(batch.column(name).type):
            batch = replace_column(batch, name, _merge(batch, name, value.as_py()))
    return batch


def without_empty_line(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without the column `_line` if no row has one."""
    empty = LINE in batch.schema.names and batch.column(LINE).null_count == batch.num_rows
    return batch.drop_columns([LINE]) if empty else batch


def _merge(batch: pa.RecordBatch, name: str, value: str) -> pa.Array:
    """A column of the file with the value of its path where it has none."""
    found = flat_column(batch, name)
    texts = as_text(found)
    others = found.filter(pc.fill_null(pc.not_equal(texts, value), False)).unique()[:MOST].to_pylist()
    for other in others:
        if not _is_same(other, value):
            raise DataError(
                f"a row in the folder {f'{name}={value}'[:120]!r} has {str(other)[:60]!r} in its column {name[:60]!r}. Programs differ in "
                "which of the two they take: move the file into the folder of its value, or rename the folder or the column"
            )
    if not texts.null_count:
        return found
    known = pc.is_valid(texts)
    if LINE in batch.schema.names:  # a line that cannot be read has no values
        known = pc.or_(known, pc.is_valid(batch.column(LINE)))
    return pc.if_else(known, texts, value)


def _is_same(found: object, value: str) -> bool:
    """Whether a value of a file is another writing of a path's: 7 and 07, 2.5 and 2.50, true and 1, or a time."""
    if isinstance(found, datetime):
        return found.isoformat(" ").startswith(value.replace("T", " "))
    left, right = (WORDS.get(text.strip().lower(), text.strip()) for text in (str(found), value))
    try:
        return left == right or float(left) == float(right)
    except ValueError:
        return False
