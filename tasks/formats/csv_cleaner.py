"""Rewrites delimited text with irregular lines or quotes as plain csv; lines that cannot be parsed are put aside.

DuckDB reads such a file at once and in parallel, and refuses all of it if its lines end in several ways or a quote is
opened and never closed. Here it is read line by line, which takes longer and can say of every line what is wrong with it.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from tempfile import NamedTemporaryFile

import pyarrow as pa

from nightloop.tasks.formats.comment_names import comment_names, refuse_moved_columns
from nightloop.tasks.formats.decompress import Opened, text_lines
from nightloop.tasks.formats.escapes import ESCAPE, UNCLEAR, ends_with_escape, is_unclear, split_escaped
from nightloop.tasks.formats.stray_quotes import are_rows
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.warehouse import Warehouse

HEAD = 100_000  # lines, if only the first rows are wanted
FURTHEST = 100  # lines after which a quote that is still open was never meant to be closed
ONE = "\x1f"  # stands for a delimiter of several characters, which the csv module does not know
LARGEST = 4_000_000  # characters of a field, as DuckDB has it


@dataclass(frozen=True)
class CsvForm:
    """How the fields of a file are written, and how many a line has. `skip`: lines before the first row; `time`: the field
    that holds the time; `wanted`: those that are wanted; `names`: what all are called."""

    width: int
    delimiter: str
    quote: str
    escape: str
    comment: str
    encoding: str
    skip: int
    time: int
    wanted: tuple[int, ...] = ()
    spare: int = 0  # empty fields that may follow the last one
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefusedLine:
    """A line that is put aside: its number, what is wrong with it, and its text."""

    line: int
    reason: str
    text: str


def rewrite_csv(warehouse: Warehouse, file: str, form: CsvForm) -> tuple[str, list[RefusedLine]]:
    """A csv file in the scratch room with the rows of a file: utf-8, commas, no names; and the lines that cannot be parsed."""
    csv.field_size_limit(LARGEST)
    refused: list[RefusedLine] = []
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="", suffix=".csv", dir=warehouse.scratch, delete=False
    ) as clean:
        write = csv.writer(clean, lineterminator="\n").writerow
        for row in islice(_parse_rows(file, warehouse.open_file, form), HEAD if warehouse.head else None):
            if isinstance(row, RefusedLine):
                refused.append(row)
            else:
                write(row)
    return clean.name, refused


def encoding_error(encoding: str) -> str:
    """The message for a line with bytes that are invalid in the encoding."""
    return f"it is not {encoding}: set the source's option `encoding` (latin-1, utf-16, ...)"


def _parse_rows(file: str, opened: Opened, form: CsvForm) -> Iterator[list[str] | RefusedLine]:
    """The fields of each row, and the lines that cannot be parsed, in order."""
    lines = enumerate(text_lines(file, form.encoding, opened), 1)
    ahead: deque[tuple[int, str]] = deque()
    named: list[str] = []  # by the last comment that does so
    while True:
        number, line = ahead.popleft() if ahead else next(lines, (0, ""))
        if not number:
            return
        if form.comment and line.startswith(form.comment):
            if len(found := comment_names(line)) == form.width:
                refuse_moved_columns(f"{file}:{number}", found, named, form.names)
                named = found
            continue
        if number <= form.skip or not line.strip():
            continue
        text, taken, open_ = line, 0, _goes_on(line, form)
        while open_ and taken < FURTHEST:
            if taken == len(ahead):
                if not (more := next(lines, None)):
                    break
                ahead.append(more)
            text, taken = f"{text}\n{ahead[taken][1]}", taken + 1
            open_ = form.quote not in ahead[taken - 1][1] or _goes_on(text, form)
        row = _parse_row(text, form)
        if taken and not isinstance(row, str) and are_rows(text.split("\n"), form.delimiter, form.width, form.time):
            row = (
                f"a quote is opened here and closed in line {number + taken}, and both lines are rows of their own: fix the quote, "
                "or set the source's option `quote` to '' if quotes have no meaning"
            )
        if isinstance(row, str) and taken:  # the lines after it may be rows all the same
            text, taken = line, 0
        for _ in range(taken):
            ahead.popleft()
        yield RefusedLine(number, row, _escape_bytes(text)) if isinstance(row, str) else row


def _goes_on(text: str, form: CsvForm) -> bool:
    """Whether the next line belongs to the row: a quote is opened in the text and not closed, or its line end is escaped."""
    if form.escape == ESCAPE and not form.quote:
        return ends_with_escape(text)
    if len(form.delimiter) > 1 or not form.quote or form.quote not in text:
        return False
    try:
        next(_reader(text, form))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _parse_row(text: str, form: CsvForm) -> list[str] | str:
    """The fields of one row, or what is wrong with it."""
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return encoding_error(form.encoding)
    if (
        form.escape == ESCAPE
        and ESCAPE in text
        and form.quote
        and is_unclear(text, form.delimiter, form.quote, form.wanted)
    ):
        return UNCLEAR
    if form.escape == ESCAPE and not form.quote:
        fields = split_escaped(text, form.delimiter)
    elif not form.quote or form.quote not in text:
        fields = text.split(form.delimiter)
    elif len(form.delimiter) > 1:
        fields = _split_by_several(text, form)
    else:
        try:
            fields = _split_quoted(_with_nulls(text, form), form)
        except csv.Error as error:
            if "unexpected end" in str(error):
                return "a quote is opened and never closed"
            return "a quoted field goes on after its closing quote: set the source's option `quote` or `escape`"
    if form.width < len(fields) <= form.width + form.spare and not any(fields[form.width :]):
        del fields[form.width :]
    return fields if len(fields) == form.width else f"it has {len(fields)} fields, the file has {form.width} columns"


def _split_quoted(text: str, form: CsvForm) -> list[str]:
    """The fields of a row with quotes. Blanks around a quoted field are no part of it. Raises csv.Error if the quotes are out of order."""
    try:
        return next(_reader(text, form))
    except csv.Error:
        quote = re.escape(form.quote)
        without_blanks = re.sub(rf"{quote} +(?={re.escape(form.delimiter)}|$)", form.quote, text)
        if without_blanks == text:
            raise
        return next(_reader(without_blanks, form))


def _split_by_several(text: str, form: CsvForm) -> list[str]:
    """The fields of a row between delimiters of several characters; quotes that are out of order have no meaning."""
    if ONE in text:
        return text.split(form.delimiter)
    try:
        row = next(_reader(text.replace(form.delimiter, ONE), replace(form, delimiter=ONE)))
    except csv.Error:
        return text.split(form.delimiter)
    return [field.replace(ONE, form.delimiter) for field in row]


def _with_nulls(text: str, form: CsvForm) -> str:
    r"""The text with its \\N escaped, which stands for a missing value and is no escaped N."""
    if form.escape != "\\" or "\\N" not in text:
        return text
    between, around = re.escape(form.delimiter), re.escape(form.quote)
    return re.sub(rf"(^|{between})({around}?)\\N({around}?)(?={between}|$)", r"\1\2\\\\N\3", text)


def _escape_bytes(text: str) -> str:
    """The text with undecodable bytes written as escapes."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _reader(text: str, form: CsvForm) -> Iterator[list[str]]:
    doubled = form.escape in ("", form.quote)
    return csv.reader(
        [line + "\n" for line in text.split("\n")], delimiter=form.delimiter, quotechar=form.quote, strict=True,
        doublequote=doubled, escapechar=None if doubled else form.escape, skipinitialspace=True,
    )  # fmt: skip


def rejected_rows(lines: Iterable[tuple[str, int, str, str | None]], wanted: Sequence[str]) -> pa.RecordBatch:
    """Lines (file, number, what is wrong, text) that cannot be parsed: nulls, and a `_line` that says all this."""
    texts = [f"{file}:{line}: {reason}: {text}"[:2000] for file, line, reason, text in lines]
    nothing = {name: pa.nulls(len(texts), pa.string()) for name in wanted}
    return pa.RecordBatch.from_pydict(
        {**nothing, "_micros": pa.nulls(len(texts), pa.int64()), LINE: pa.array(texts, pa.string())}
    )
