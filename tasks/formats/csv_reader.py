"""Delimited text: csv, tsv and the like, read as text; every line that cannot be parsed is reported."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightloop.tasks.formats.csv_cleaner import CsvForm, encoding_error, rejected_rows, rewrite_csv
from nightloop.tasks.formats.decimal_comma import with_points
from nightloop.tasks.formats.escapes import ESCAPE, has_escape
from nightloop.tasks.formats.file_columns import (
    MayLack,
    check_columns,
    check_time,
    deletion_marks,
    no_column,
    without_marks,
)
from nightloop.tasks.formats.file_head import encoding_of, first_lines, head_pieces
from nightloop.tasks.formats.path_columns import in_path, with_path_columns, without_empty_line
from nightloop.tasks.formats.select_files import name_files
from nightloop.tasks.formats.stray_quotes import ANY, DIGITS, has_irregular_row
from nightloop.tasks.lake.batches import WIDEST
from nightloop.tasks.lake.values import BLANKS
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

DELIMITERS = (",", "\t", ";", "|", "::")
SPOKEN = re.compile(r'"?sep=(.)"?')  # the line that gives Excel the delimiter
BY_DUCKDB = ("utf-8", "latin-1")  # encodings that DuckDB reads; files in others are rewritten in utf-8


@dataclass(frozen=True)
class Dialect:
    """How text is written. No delimiter: the one that the first line holds most of. No encoding: utf-8, or what the file's
    first bytes say. `header`: whether the first line holds the columns' names; None: it does if no `names` are given.
    """

    delimiter: str = ""
    encoding: str = ""
    names: tuple[str, ...] = ()
    header: bool | None = None
    quote: str = '"'
    escape: str = '"'
    comment: str = ""
    decimal: str = "."

    @property
    def headed(self) -> bool:
        """Whether the first line is none of the rows."""
        return not self.names if self.header is None else self.header


@dataclass(frozen=True)
class FileLayout:
    """What is known of a file before its rows are read."""

    delimiter: str
    encoding: str
    names: tuple[str, ...]
    skip: int  # lines before the first row
    spare: int = 0  # empty fields that may follow those of a row


@dataclass(frozen=True)
class RowRequest:
    """What is wanted of a file's rows. `timed`: their time as `_micros` too."""

    dialect: Dialect
    columns: Columns
    wanted: tuple[str, ...]
    timed: bool
    in_path: Mapping[str, str | None] = field(default_factory=dict)


def read_delimited(
    warehouse: Warehouse,
    files: Sequence[str],
    dialect: Dialect,
    columns: Columns,
    wanted: Sequence[str],
    timed: bool,
    may_lack: MayLack = no_column,
) -> Iterator[pa.RecordBatch]:
    """The columns `wanted` of every line as text, and if `timed` its time as `_micros`; lines that do not parse come
    last, as `_line`.

    Raises DataError with the file's name if it is empty, cut off or lacks a wanted column. If it turns out
    half-way that files have to be read line by line, they are noted in `warehouse.by_line`, and BlockingIOError says that
    everything has to be read again.
    """
    layouts = {file: _read_layout(warehouse, file, dialect, columns.time) for file in files}
    never_empty = (columns.user, columns.item, columns.time)
    for file, layout in layouts.items():
        check_columns(file, list(layout.names), wanted, may_lack)
        check_time(file, layout.names, columns)
        if layout.names[-1] in never_empty:  # a delimiter after it is none too many
            layouts[file] = replace(layout, spare=ANY)

    marks = deletion_marks((name for layout in layouts.values() for name in layout.names), wanted, columns)

    def alike(file: str) -> tuple[FileLayout, bool, dict[str, str | None]]:
        return layouts[file], _needs_line_by_line(warehouse, file, layouts[file], dialect), in_path(file)

    for (layout, by_line, constant), group in groupby(files, key=alike):
        query = RowRequest(dialect, columns, (*wanted, *marks), timed, constant)
        same = list(group)
        lines = (rows for file in same for rows in _read_lines(warehouse, file, layout, query))
        rows = lines if by_line else _read(warehouse, same, layout, query)
        yield from without_marks(rows, marks, name_files(same))


def _needs_line_by_line(warehouse: Warehouse, file: str, layout: FileLayout, dialect: Dialect) -> bool:
    r"""Whether a file is read line by line. DuckDB sees comments inside lines, misreads some line ends, and reads \N as N and \n as n."""
    before = layout.skip > dialect.headed  # there are lines before the names
    if file in warehouse.by_line or layout.encoding not in BY_DUCKDB or dialect.comment or before:
        return True
    if dialect.escape == ESCAPE and has_escape(head_pieces(warehouse, file), dialect.quote):
        return True
    pieces, width = head_pieces(warehouse, file), len(layout.names)
    return has_irregular_row(pieces, dialect.quote, layout.delimiter, width, layout.spare)


def _read(warehouse: Warehouse, files: list[str], layout: FileLayout, query: RowRequest) -> Iterator[pa.RecordBatch]:
    """Rows of files that are written alike, as DuckDB reads them; BlockingIOError if it cannot."""
    try:
        for batch in _scan(warehouse, files, layout, query):
            if "error" not in batch.schema.names:
                yield batch
                continue
            rows = batch.to_pylist()
            if open_ := {row["file"] for row in rows if row["error"] == "UNQUOTED VALUE"}:
                raise DataError(f"a quote is out of order in {', '.join(sorted(open_))}")
            yield rejected_rows(
                [(row["file"], row["line"], _rejection_reason(row, layout), row["text"]) for row in rows], query.wanted
            )
    except ValueError as error:  # DuckDB's own message does not help an operator
        warehouse.by_line.update(files)
        raise BlockingIOError(f"to be read line by line: {', '.join(files)}: {error}") from error


def _read_lines(warehouse: Warehouse, file: str, layout: FileLayout, query: RowRequest) -> Iterator[pa.RecordBatch]:
    """Rows of one file from a copy in plain csv; then the lines that cannot be parsed."""
    dialect = query.dialect
    form = CsvForm(
        len(layout.names), layout.delimiter, dialect.quote, dialect.escape, dialect.comment, layout.encoding, layout.skip,
        layout.names.index(query.columns.time), tuple(n for n, name in enumerate(layout.names) if name in query.wanted),
        layout.spare, layout.names,
    )  # fmt: skip
    clean, refused = rewrite_csv(warehouse, file, form)
    plain = replace(query, dialect=replace(dialect, quote='"', escape='"', comment="", header=False))
    try:
        yield from _scan(warehouse, [clean], replace(layout, delimiter=",", encoding="utf-8"), plain)
    finally:
        Path(clean).unlink(missing_ok=True)
    if refused:
        yield rejected_rows([(file, row.line, row.reason, row.text) for row in refused], query.wanted)


def _scan(warehouse: Warehouse, files: list[str], layout: FileLayout, query: RowRequest) -> Iterator[pa.RecordBatch]:
    """What DuckDB reads: rows, then lines that it refused."""
    dialect = query.dialect
    parameters = {
        "files": files, "names": dict.fromkeys(_unique_names(layout.names, query.wanted), "VARCHAR"),
        "wanted": list(query.wanted), "time": query.columns.time,
        "unit": query.columns.time_writing, "header": dialect.headed, "delimiter": layout.delimiter, "encoding": layout.encoding,
        "timed": query.timed, "most": WIDEST, "quote": dialect.quote, "escape": dialect.escape,
    }  # fmt: skip
    for batch in warehouse.scan(("ingest/read_delimited", parameters), ("ingest/rejected_lines", {})):
        if "error" in batch.schema.names:
            yield batch
        else:
            points = with_points(without_empty_line(batch), dialect.decimal, query.columns)
            yield with_path_columns(points, query.wanted, query.in_path, query.columns.time)


def _unique_names(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names of all columns. Unwanted ones are made unique, because DuckDB needs unique names whatever their case."""
    taken, unique = {name.casefold() for name in wanted}, []
    for position, name in enumerate(names):
        if name not in wanted and (not name.strip() or name.casefold() in taken):
            name = f"{name} ({position})"
        taken.add(name.casefold())
        unique.append(name)
    return unique


def _rejection_reason(row: Mapping[str, Any], layout: FileLayout) -> str:
    """What is wrong with a line that DuckDB refused."""
    return encoding_error(layout.encoding) if row["error"] == "INVALID ENCODING" else str(row["message"])


def column_names(warehouse: Warehouse, file: str, dialect: Dialect) -> list[str]:
    """The names of a file's columns."""
    return list(_read_layout(warehouse, file, dialect).names)


def _read_layout(warehouse: Warehouse, file: str, dialect: Dialect, time: str = "") -> FileLayout:
    """What the first lines of a file say. `time`: the column that holds the time."""
    encoding = dialect.encoding or encoding_of(warehouse, file)
    lines = first_lines(warehouse, file, encoding)
    rows = [
        n for n, line in enumerate(lines) if line.strip() and not (dialect.comment and line.startswith(dialect.comment))
    ]
    if not rows:
        raise DataError(f"{file}: its first {len(lines)} lines are blank or comments")
    declared = SPOKEN.fullmatch(lines[rows[0]].strip()) if len(rows) > 1 else None
    if declared is not None:
        rows = rows[1:]
    line = lines[rows[0]]
    delimiter = dialect.delimiter or (declared[1] if declared else max(DELIMITERS, key=line.count))
    skip = rows[0] + dialect.headed if dialect.headed or declared else 0
    if dialect.names:
        fields = [split_fields(lines[n], delimiter, dialect.quote) for n in rows[dialect.headed :]]
        if fields and all(len(line_fields) != len(dialect.names) for line_fields in fields):
            raise DataError(
                f"{file}: its first line has {len(fields[0])} fields between {delimiter!r} and not the "
                f"{len(dialect.names)} of this format ({', '.join(dialect.names[:16])}): it begins {line[:60]!r}"
            )
        if dialect.headed:
            _refuse_moved_names(file, dialect.names, split_fields(line, delimiter, dialect.quote), time)
        return FileLayout(delimiter, encoding, dialect.names, skip, _count_spare(fields, len(dialect.names)))
    names = [name.strip(BLANKS) for name in split_fields(line, delimiter, dialect.quote)]
    if not all(name.replace("\t", "").isprintable() for name in names):
        shown = line[:40].encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise DataError(
            f"{file} is not text in {encoding}: its first line is {shown!r}; give the source's option `format` or `encoding`"
        )
    fields = [split_fields(lines[n], delimiter, dialect.quote) for n in rows[1:]]
    layout = FileLayout(delimiter, encoding, tuple(names), skip, _count_spare(fields, len(names)))
    _refuse_nameless_column(file, layout, fields, time)
    return layout


def _count_spare(rows: Sequence[Sequence[str]], width: int) -> int:
    """How many empty fields all rows have after the fields that have a name."""
    longer = [row[width:] for row in rows if len(row) >= width]  # a quoted field that has lines makes shorter rows
    return 0 if any(map(any, longer)) else min(map(len, longer), default=0)


def _refuse_nameless_column(file: str, layout: FileLayout, rows: Sequence[Sequence[str]], time: str) -> None:
    """Raise DataError if the rows begin with a column that has no name, such as the index of pandas or the row names of R.

    Else a field more than there are names is a delimiter at the end of the line.
    """
    width = len(layout.names)
    longer = [row for row in rows if len(row) == width + 1]
    if not longer or len(longer) < len(rows):  # a quoted field that has lines makes rows of any length
        return
    number, place = longer[0][0], layout.names.index(time) + 1 if time in layout.names else width
    counts = number.isdecimal() and [row[0] for row in longer] == [str(int(number) + n) for n in range(len(longer))]
    if any(row[-1].strip() for row in longer) or (counts and sum(map(str.isdigit, longer[0][place])) >= DIGITS):
        raise DataError(
            f"{file}: its rows have {width + 1} fields, and its first line {width} names, so that values would be read in the wrong "
            f"columns. A row begins {layout.delimiter.join(longer[0])[:60]!r}. Give every column a name: in pandas to_csv(index=False), "
            "in R row.names=FALSE; or set the source's options `names` and `header: true`"
        )


def _refuse_moved_names(file: str, given: Sequence[str], line: Sequence[str], time: str) -> None:
    """Raise DataError if the first line has one of the given names for another column, or is a row, which would be lost."""
    header = [name.strip(BLANKS).casefold() for name in line]
    place = given.index(time) if time in given else len(line)
    if place < len(line) and sum(map(str.isdigit, line[place])) >= DIGITS:
        raise DataError(
            f"{file}: its first line is a row, {','.join(line)[:60]!r}, and the source's option `header: true` leaves it out: read files "
            "with a line of names and files without one as two sources, or add the line"
        )
    for n, name in enumerate(given):
        if name.casefold() in header and n < len(header) and header[n] != name.casefold():
            raise DataError(
                f"{file}: the source's option `names` calls column {n + 1} {name[:60]!r}, and the first line calls it {line[n][:60]!r}, "
                f"and column {header.index(name.casefold()) + 1} {name[:60]!r}. Leave out `names` and `header`, or give the names in the "
                "order of the file"
            )


def split_fields(line: str, delimiter: str, quote: str = '"') -> list[str]:
    """The fields of one line."""
    if len(delimiter) > 1 or not quote:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])
    except csv.Error:  # a field of more than 131,072 characters
        return line.split(delimiter)
