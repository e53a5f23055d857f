"""JSON lines: one object a line, read out-of-core, with every line that is none accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tasks.lake.arrivals import LINE
from tasks.lake.delimited import check_columns, rejected
from tasks.lake.unpacking import check_text
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Columns


def read_json_lines(
    warehouse: Warehouse, files: Sequence[str], columns: Columns, wanted: Sequence[str], timed: bool
) -> Iterator[pa.RecordBatch]:
    """The values `wanted` of every line as text, and where `timed` its time as `_micros`; a line that is no object as
    `_line`, all else null.

    Raises ValueError naming the file where it is cut off, holds no object or lacks a key that is wanted.
    """
    for file in files:
        check_columns(f"{file} (its first thousand lines)", json_keys(warehouse, file), wanted)
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in wanted]
    time = pointers[wanted.index(columns.time)]
    asked = {"files": list(files), "pointers": pointers, "time": time, "unit": columns.time_unit, "timed": timed}
    for batch in warehouse.scan(("read_json_lines", asked), ("rejected_lines", {})):
        yield rejected(batch, wanted) if "error" in batch.schema.names else _taken_apart(batch, wanted)


def json_keys(warehouse: Warehouse, file: str) -> list[str]:
    """The keys of a file's first thousand objects. Raises ValueError where it is cut off or has no object."""
    check_text(file)
    keys = [name for batch in warehouse.scan(("json_keys", {"files": [file]}))
            for name in batch.column("name").to_pylist()]  # fmt: skip
    if not keys:
        raise ValueError(f"{file} has no line that is a JSON object: one object a line is wanted")
    return keys


def _taken_apart(batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
    lists = batch.column("found")
    values = {name: pc.list_element(lists, position) for position, name in enumerate(wanted)}
    return pa.RecordBatch.from_pydict({**values, "_micros": batch.column("_micros"), LINE: batch.column(LINE)})
