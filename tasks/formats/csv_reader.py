"""Delimited text: csv, tsv and the like, read as text with every line that cannot be taken apart accounted for."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_cleaner import CsvForm, encoding_error, rewrite_csv
from nightloop.tasks.formats.file_head import encoding_of, first_lines, head_pieces
from nightloop.tasks.formats.select_files import in_path, with_missing_columns
from nightloop.tasks.formats.stray_quotes import has_null_mark, swallows
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.values import BLANKS
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

DELIMITERS = (",", "\t", ";", "|", "::")
SPOKEN = re.compile(r'"?sep=(.)"?')  # the line by which a file tells Excel its delimiter
BY_DUCKDB = ("utf-8", "latin-1")  # encodings that DuckDB reads; files of others are written anew in utf-8
MayLack = Callable[[str], bool]  # whether a file may lack a column, which is null there


def no_column(name: str) -> bool:
    """No column may be missing."""
    return False


@dataclass(frozen=True)
class Dialect:
    """How text is written. No delimiter: the one that the first line holds most of. No encoding: utf-8, or what the file's
    first bytes say. `header`: whether the first line holds the columns' names; None: it does where no `names` are given.
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
    """The columns `wanted` of every line as text, and where `timed` its time as `_micros`; lines that do not parse come
    last, as `_line`.

    Raises DataError naming the file where it is empty, cut off or without a column that is wanted. Where it turns out
    half-way that files have to be read line by line, they are noted in `warehouse.by_line`, and BlockingIOError says that
    all is to be read again.
    """
    known = {file: _look(warehouse, file, dialect) for file in files}
    for file, look in known.items():
        check_columns(file, list(look.names), wanted, may_lack)
        check_time(file, look.names, columns)

    def alike(file: str) -> tuple[FileLayout, bool, dict[str, str | None]]:
        return known[file], _by_line(warehouse, file, known[file], dialect), in_path(file)

    for (look, by_line, constant), group in groupby(files, key=alike):
        asked = RowRequest(dialect, columns, tuple(wanted), timed, constant)
        if by_line:
            for file in group:
                yield from _line_by_line(warehouse, file, look, asked)
        else:
            yield from _at_once(warehouse, list(group), look, asked)


def _by_line(warehouse: Warehouse, file: str, look: FileLayout, dialect: Dialect) -> bool:
    r"""Whether a file is read line by line. DuckDB takes a comment for one in the middle of a line too, its ends amiss, and \N for
    an N."""
    before = look.skip > dialect.headed  # there are lines before the names
    if file in warehouse.by_line or look.encoding not in BY_DUCKDB or dialect.comment or before:
        return True
    if dialect.escape == "\\" and has_null_mark(head_pieces(warehouse, file)):
        return True
    return swallows(head_pieces(warehouse, file), dialect.quote, look.delimiter, len(look.names))


def _at_once(warehouse: Warehouse, files: list[str], look: FileLayout, asked: RowRequest) -> Iterator[pa.RecordBatch]:
    """Rows of files that are written alike, as DuckDB reads them; BlockingIOError where it cannot."""
    try:
        for batch in _scanned(warehouse, files, look, asked):
            if "error" not in batch.schema.names:
                yield batch
                continue
            rows = batch.to_pylist()
            if open_ := {row["file"] for row in rows if row["error"] == "UNQUOTED VALUE"}:
                raise DataError(f"a quote is out of order in {', '.join(sorted(open_))}")
            yield rejected_rows(
                [(row["file"], row["line"], _why(row, look), row["text"]) for row in rows], asked.wanted
            )
    except ValueError as error:  # DuckDB's own words help nobody who did not choose it
        warehouse.by_line.update(files)
        raise BlockingIOError(f"to be read line by line: {', '.join(files)}: {error}") from error


def _line_by_line(warehouse: Warehouse, file: str, look: FileLayout, asked: RowRequest) -> Iterator[pa.RecordBatch]:
    """Rows of one file by way of a copy in plain csv; then its lines that are none."""
    by = asked.dialect
    time = look.names.index(asked.columns.time)
    form = CsvForm(len(look.names), look.delimiter, by.quote, by.escape, by.comment, look.encoding, look.skip, time)
    clean, refused = rewrite_csv(warehouse, file, form)
    plain = replace(asked, dialect=replace(by, quote='"', escape='"', comment="", header=False))
    try:
        yield from _scanned(warehouse, [clean], replace(look, delimiter=",", encoding="utf-8"), plain)
    finally:
        Path(clean).unlink()
    if refused:
        yield rejected_rows([(file, one.line, one.why, one.text) for one in refused], asked.wanted)


def _scanned(warehouse: Warehouse, files: list[str], look: FileLayout, asked: RowRequest) -> Iterator[pa.RecordBatch]:
    """What DuckDB reads: rows, then lines that it refused."""
    by = asked.dialect
    given = {
        "files": files, "names": dict.fromkeys(_unlike(look.names, asked.wanted), "VARCHAR"),
        "wanted": list(asked.wanted), "time": asked.columns.time,
        "unit": asked.columns.time_writing, "header": by.headed, "delimiter": look.delimiter, "encoding": look.encoding,
        "timed": asked.timed, "quote": by.quote, "escape": by.escape,
    }  # fmt: skip
    for batch in warehouse.scan(("ingest/read_delimited", given), ("ingest/rejected_lines", {})):
        if "error" in batch.schema.names:
            yield batch
        else:
            yield with_missing_columns(_pointed(batch, by, asked.columns), asked.wanted, asked.in_path)


def _unlike(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names of all columns, those that nobody wants made unlike all others, as DuckDB wants them whatever their case."""
    taken, found = {name.casefold() for name in wanted}, []
    for place, name in enumerate(names):
        if name not in wanted and (not name.strip() or name.casefold() in taken):
            name = f"{name} ({place})"
        taken.add(name.casefold())
        found.append(name)
    return found


def _why(row: Mapping[str, Any], look: FileLayout) -> str:
    """What is wrong with a line that DuckDB refused."""
    if row["error"] == "INVALID ENCODING":
        return encoding_error(look.encoding)
    return str(row["message"])


def _pointed(batch: pa.RecordBatch, dialect: Dialect, columns: Columns) -> pa.RecordBatch:
    """The batch with a decimal point in its numbers, and none in ids that are whole ones."""
    if dialect.decimal == ".":
        return batch
    other = f" (has {'.'!r}, and decimals stand behind {dialect.decimal!r})"
    for name in {columns.label, columns.logged_probability, *columns.numeric} & {*batch.schema.names}:
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, _comma(batch.column(place), dialect.decimal, other))
    for name in {columns.user, columns.item, *columns.categorical, *columns.key} & {*batch.schema.names}:
        place = batch.schema.get_field_index(name)
        whole = pc.replace_substring_regex(batch.column(place), rf"^\s*(-?[0-9]+){dialect.decimal}0+\s*$", r"\1")
        batch = batch.set_column(place, name, whole)
    return batch


def _comma(values: pa.Array, decimal: str, other: str) -> pa.Array:
    """Numbers with a decimal point; those that have one already, which may stand between thousands, so that nobody reads them."""
    pointed = pc.match_substring(values, ".")
    return pc.if_else(
        pointed, pc.binary_join_element_wise(values, other, ""), pc.replace_substring(values, decimal, ".")
    )


def column_names(warehouse: Warehouse, file: str, dialect: Dialect) -> list[str]:
    """The names of a file's columns."""
    return list(_look(warehouse, file, dialect).names)


def check_columns(file: str, names: Sequence[str], wanted: Sequence[str], may_lack: MayLack = no_column) -> None:
    """Raise DataError if a file lacks a column or has it twice, and say which it has."""
    shown, constant = ", ".join(repr(name[:60]) for name in names[:40]) or "none", in_path(file)
    for name in wanted:
        if name not in names and (name in constant or (may_lack(name) and not similar_name(name, names))):
            continue
        if names.count(name) != 1 if isinstance(names, list) else name not in names:
            how = "two columns" if name in names else "no column"
            other = similar_name(name, names) if name not in names else ""
            if other and may_lack(name):
                raise DataError(
                    f"{file} calls the column {name[:60]!r} of the newest file {other[:60]!r}: give it one name in all files, or "
                    "leave it out of the plan's `columns`"
                )
            raise DataError(
                f"{file} has {how} {name[:60]!r}; its columns are {shown}. Name the right ones in the plan's "
                "`columns`. If these are no names, the source's options `names`, `delimiter` and `encoding` say how the "
                "file is written"
            )


def similar_name(name: str, names: Iterable[str]) -> str:
    """One of the names that differs from a name in upper and lower case or blanks alone; empty where there is none."""
    alike = (other for other in names if other.strip(BLANKS).casefold() == name.casefold())
    return next((other for other in alike if other != name), "")


def check_time(file: str, names: Iterable[str], columns: Columns) -> None:
    """Raise DataError if the time stands in the path alone: every row needs one of its own."""
    if columns.time not in names:
        raise DataError(
            f"{file}: the time {columns.time[:60]!r} stands in the path alone, so that all rows would have the same. Name a column "
            "of the file; the path can say the period, as {period}"
        )


def _look(warehouse: Warehouse, file: str, dialect: Dialect) -> FileLayout:
    """What the first lines of a file say."""
    encoding = dialect.encoding or encoding_of(warehouse, file)
    lines = first_lines(warehouse, file, encoding)
    rows = [
        n for n, line in enumerate(lines) if line.strip() and not (dialect.comment and line.startswith(dialect.comment))
    ]
    if not rows:
        raise DataError(f"{file}: its first {len(lines)} lines are blank or comments")
    spoken = SPOKEN.fullmatch(lines[rows[0]].strip()) if len(rows) > 1 else None
    if spoken is not None:
        rows = rows[1:]
    line = lines[rows[0]]
    delimiter = dialect.delimiter or (spoken[1] if spoken else max(DELIMITERS, key=line.count))
    skip = rows[0] + dialect.headed if dialect.headed or spoken else 0
    if dialect.names:
        told = [split_fields(lines[n], delimiter, dialect.quote) for n in rows[dialect.headed :]]
        if told and all(len(one) != len(dialect.names) for one in told):
            raise DataError(
                f"{file}: its first line has {len(told[0])} fields between {delimiter!r} and not the "
                f"{len(dialect.names)} of this format ({', '.join(dialect.names[:16])}): it begins {line[:60]!r}"
            )
        return FileLayout(delimiter, encoding, dialect.names, skip)
    names = [name.strip(BLANKS) for name in split_fields(line, delimiter, dialect.quote)]
    if not all(name.replace("\t", "").isprintable() for name in names):
        shown = line[:40].encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise DataError(
            f"{file} is no text in {encoding}: its first line is {shown!r}; give the source's option `format` or `encoding`"
        )
    return FileLayout(delimiter, encoding, tuple(names), skip)


def split_fields(line: str, delimiter: str, quote: str = '"') -> list[str]:
    """What stands between the delimiters of one line."""
    if len(delimiter) > 1 or not quote:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])


def rejected_rows(lines: Iterable[tuple[str, int, str, str | None]], wanted: Sequence[str]) -> pa.RecordBatch:
    """Lines (file, number, what is wrong, text) that are no rows: nulls, and a `_line` that says all this."""
    texts = [f"{file}:{line}: {why}: {text}"[:2000] for file, line, why, text in lines]
    nothing = {name: pa.nulls(len(texts), pa.string()) for name in wanted}
    return pa.RecordBatch.from_pydict(
        {**nothing, "_micros": pa.nulls(len(texts), pa.int64()), LINE: pa.array(texts, pa.string())}
    )
