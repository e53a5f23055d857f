"""Parquet: the columns of files, and their rows in a span of times."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from nightloop.tasks.formats.file_columns import (
    MayLack,
    check_columns,
    check_time,
    deletion_marks,
    id_columns,
    no_column,
    without_marks,
)
from nightloop.tasks.formats.page_checksums import check_pages
from nightloop.tasks.formats.path_columns import in_path, with_path_columns, without_empty_line
from nightloop.tasks.formats.select_files import name_files, no_row_in_period
from nightloop.tasks.lake.batches import WIDEST
from nightloop.tasks.lake.values import replace_column
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

HALF = str(pa.float16())
DIGITS = 38  # of a decimal: DuckDB reads those with more as floats, and as other numbers


def read_parquet(
    warehouse: Warehouse, files: list[str], columns: Columns, wanted: list[str], window: tuple[int, int] | None,
    may_lack: MayLack = no_column,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Rows of Parquet files in the `window` of times (µs), or all; each with its time as `_micros`."""
    types = {file: _parquet_types(warehouse, file) for file in files}
    for file, found in types.items():
        names = [column.name for column in found]
        check_columns(file, names, wanted, may_lack)
        check_time(file, names, columns)
        _refuse_unreadable(file, found, wanted, columns.time)
        if not warehouse.head:
            check_pages(warehouse, file, [name for name in wanted if name in names])

    marks = deletion_marks((column.name for found in types.values() for column in found), wanted, columns)
    wanted = [*wanted, *marks]

    def alike(file: str) -> tuple[dict[str, str | None], list[str]]:
        """What the path says, and types: of two files together DuckDB would make the ids of one as coarse as the other's."""
        found = {column.name: column.type for column in types[file]}
        constant = {name: value for name, value in in_path(file).items() if name in wanted}
        return constant, [found.get(name, "") for name in wanted]

    time, ids = {"time": columns.time, "unit": columns.time_writing}, id_columns(columns)
    groups: list[tuple[dict[str, str | None], list[str], dict[str, object]]] = [
        (
            values,
            [name for name, kind in zip(wanted, kinds, strict=True) if kind == HALF and name in ids],
            {**time, "files": [*group], "json": ["_json", *(n for n, kind in zip(wanted, kinds, strict=True) if kind == "JSON")]},
        )
        for (values, kinds), group in groupby(files, key=alike)
    ]  # fmt: skip
    if window is not None and not warehouse.head:
        parts = (part for *_, group in groups for part in _scan(warehouse, "ingest/untimed_parquet", group, files))
        if sum(part.column(0)[0].as_py() for part in parts):
            window = None  # a row without a time belongs to the period of its neighbours
    start, end = (None, None) if warehouse.head else window or (None, None)
    rows = 0
    for values, halves, group in groups:
        query = {**group, "wanted": wanted, "start": start, "end": end, "most": WIDEST}
        for batch in _scan(warehouse, "ingest/read_parquet", query, files):
            rows += batch.num_rows
            for name in halves:  # DuckDB makes floats of 32 bits of them, which would seem to tell more ids apart
                batch = replace_column(batch, name, batch.column(name).cast(pa.float16(), safe=False))
            rows_read = with_path_columns(without_empty_line(batch), wanted, values, columns.time)
            yield from without_marks((rows_read,), marks, name_files(files))
    if start is not None and not rows:
        parts = (part for *_, group in groups for part in warehouse.scan(("ingest/parquet_times", group)))
        spans = [span for part in parts for span in part.to_pylist()]
        if spans := [span for span in spans if span["rows"]]:
            ends = min(span["first"] for span in spans), max(span["last"] for span in spans)
            warehouse.remarks.append(no_row_in_period(name_files(files), sum(span["rows"] for span in spans), *ends))


def _scan(
    warehouse: Warehouse, statement: str, query: Mapping[str, object], files: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """What DuckDB reads of files. Raises DataError with their names if it does not know the encoding of a page."""
    try:
        yield from warehouse.scan((statement, query))
    except DataError as error:
        if "encoding" not in str(error).lower():
            raise
        raise DataError(
            f"{name_files(files)}: {str(error).splitlines()[0]}: write it with the encodings that its program uses without "
            "options, such as use_byte_stream_split=False of pyarrow"
        ) from error


@dataclass(frozen=True)
class ParquetColumn:
    """A column of a file: its name, how many digits its decimals have (0: it has none), its type, or what its writer had if DuckDB has
    no such type, and what DuckDB calls it, which has a number if another one has that name."""

    name: str
    digits: int
    type: str
    label: str


def parquet_columns(warehouse: Warehouse, file: str) -> list[str]:
    """The names of a Parquet file's columns."""
    return [column.name for column in _parquet_types(warehouse, file)]


def _parquet_types(warehouse: Warehouse, file: str) -> list[ParquetColumn]:
    """The columns of a Parquet file, in their order."""
    steps = [(f"ingest/{name}", {"file": file}) for name in ("parquet_schema", "parquet_columns", "parquet_written")]
    try:
        rows = [row for batch in warehouse.scan(*steps) for row in batch.to_pylist()]
    except ValueError as error:
        raise DataError(
            f"{file} is not a complete Parquet file: it is cut off, or another format: deliver it again, or set the option `format`"
        ) from error
    top = _top_columns([(row["element"], row["children"], row["digits"]) for row in rows if "element" in row])
    labels = [(row["type"], row["name"]) for row in rows if "name" in row]
    written = _types_of_arrow(next((row["written"] for row in rows if "written" in row), ""))
    return [
        ParquetColumn(name, digits, written.get(name, kind), label)
        for (name, digits), (kind, label) in zip(top, labels, strict=True)
    ]


def _types_of_arrow(schema: str) -> Mapping[str, str]:
    """The columns whose type DuckDB does not know, floats of 16 bits and durations, by the schema of Arrow in a file (base64)."""
    try:
        fields = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema))) if schema else ()
    except (ValueError, OSError, pa.ArrowException):  # other programs may write something else under this name
        return {}
    types = {field.name: field.type for field in fields}
    return {name: str(t) for name, t in types.items() if pa.types.is_duration(t) or pa.types.is_float16(t)}


def _top_columns(elements: Sequence[tuple[str, int, int]]) -> list[tuple[str, int]]:
    """Columns (name, most digits), out of all elements (name, number of children, digits) of a schema, each before its children."""
    columns: list[tuple[str, int]] = []
    below = 0
    for name, children, digits in elements[1:]:
        if below:
            digits = max(digits, columns[-1][1])
            columns[-1] = columns[-1][0], digits
        else:
            columns.append((name, digits))
        below = max(below - 1, 0) + children
    return columns


def _refuse_unreadable(file: str, columns: Sequence[ParquetColumn], wanted: Sequence[str], time: str) -> None:
    """Raise DataError if DuckDB would read a wanted column as another one, or its decimals or durations as other numbers.

    The column `time` may hold durations since 1970, because the plan says the unit of its numbers, or their size does.
    """
    for name in wanted:
        alike = [
            column.name for column in columns if name.casefold() in (column.name.casefold(), column.label.casefold())
        ]
        if len(alike) > 1:
            raise DataError(
                f"{file} has columns whose names differ in upper and lower case alone, or in a number: {', '.join(map(repr, alike))}. "
                "They cannot be told apart: rename one at the source"
            )
        kind = next((column.type for column in columns if column.name == name), "")
        if kind.startswith("duration") and name != time:
            raise DataError(
                f"{file}: the column {name[:60]!r} holds {kind}, and only its digits are in the file, which mean other times in another "
                "unit: write it as a number, such as seconds"
            )
        digits = next((column.digits for column in columns if column.name == name), 0)
        if digits > DIGITS:
            raise DataError(
                f"{file}: the column {name[:60]!r} has decimals of {digits} digits, and at most {DIGITS} are read: write it as integers, "
                f"as decimals of at most {DIGITS} digits, or as text"
            )
