"""Delimited text: csv, tsv and the like, read as text with every line that cannot be taken apart accounted for."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from tasks.lake.arrivals import LINE
from tasks.lake.unpacking import check_text
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Columns

DELIMITERS = (",", "\t", ";", "|", "::")
FATAL = {
    "INVALID ENCODING": "it is not {encoding}: set the source's option `encoding` (latin-1, utf-16, ...)",
    "UNQUOTED VALUE": "a quote is opened and never closed, which swallows the lines after it: mend the file",
}


@dataclass(frozen=True)
class Dialect:
    """How text is written. No delimiter: the one that line 1 holds most of. No names: they are in line 1."""

    delimiter: str = ""
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()


def read_delimited(
    warehouse: Warehouse, files: Sequence[str], dialect: Dialect, columns: Columns, wanted: Sequence[str], timed: bool
) -> Iterator[pa.RecordBatch]:
    """The columns `wanted` of every line as text, and where `timed` its time as `_micros`; lines that do not parse come
    last, as `_line`.

    Raises ValueError naming the file where it is empty, cut off, of another encoding or without a column that is
    wanted.
    """
    headed = [(file, *_header(file, first_lines(warehouse, file, dialect.encoding), dialect)) for file in files]
    for file, _, names in headed:
        check_columns(file, names, wanted)
    for (delimiter, names), group in groupby(headed, key=lambda found: found[1:]):
        asked = {
            "files": [file for file, *_ in group], "names": dict.fromkeys(names, "VARCHAR"), "wanted": list(wanted),
            "time": columns.time, "unit": columns.time_unit, "header": not dialect.names,
            "delimiter": delimiter, "encoding": dialect.encoding, "timed": timed,
        }  # fmt: skip
        for batch in warehouse.scan(("read_delimited", asked), ("rejected_lines", {})):
            yield _rejected(batch, wanted, dialect) if "error" in batch.schema.names else batch


def check_columns(file: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise ValueError where a file lacks a column or has it twice, and say which it has."""
    shown = ", ".join(repr(name[:60]) for name in names[:40]) or "none"
    for name in wanted:
        if names.count(name) != 1 if isinstance(names, list) else name not in names:
            how = "two columns" if name in names else "no column"
            raise ValueError(
                f"{file} has {how} {name[:60]!r}; its columns are {shown}. Name the right ones in the plan's "
                f"`columns`, or give "
                "the source's options `delimiter` and `encoding` if these are no names"
            )


def first_lines(warehouse: Warehouse, file: str, encoding: str = "utf-8") -> list[str]:
    """A text file's first lines, a hundred at most. Raises ValueError where it is empty, cut off, of another encoding or
    no lines."""
    check_text(file)
    lines = [line for batch in warehouse.scan(("first_lines", {"file": file, "encoding": encoding}))
             for line in batch.column("line").to_pylist()]  # fmt: skip
    if not lines or lines[0] is None:
        raise ValueError(
            f"{file} is empty, or its first line is not {encoding}: a csv file begins with the columns' names"
        )
    return [lines[0].removeprefix("\ufeff"), *(line for line in lines[1:] if line is not None)]


def _header(file: str, lines: Sequence[str], dialect: Dialect) -> tuple[str, list[str]]:
    """The delimiter and the names of a file's columns."""
    line = lines[0]
    delimiter = dialect.delimiter or max(DELIMITERS, key=line.count)
    if dialect.names:
        if all(len(fields(one, delimiter)) != len(dialect.names) for one in lines):
            raise ValueError(
                f"{file}: its first line has {len(fields(line, delimiter))} fields between {delimiter!r} and not the "
                f"{len(dialect.names)} of this format ({', '.join(dialect.names[:16])}): it begins {line[:60]!r}"
            )
        return delimiter, list(dialect.names)
    if not line.isprintable() and not line.replace(delimiter, "").replace("\t", "").isprintable():
        raise ValueError(
            f"{file} is no text: its first line is {line[:40]!r}; give the source's option `format` or `encoding`"
        )
    return delimiter, fields(line, delimiter)


def fields(line: str, delimiter: str) -> list[str]:
    """What stands between the delimiters of one line."""
    return next(csv.reader([line], delimiter=delimiter), []) if len(delimiter) == 1 else line.split(delimiter)


def _rejected(batch: pa.RecordBatch, wanted: Sequence[str], dialect: Dialect) -> pa.RecordBatch:
    """Lines that did not parse, as rows of nulls with their text. Raises ValueError where others suffer too."""
    for row in batch.to_pylist():
        if why := FATAL.get(row["error"]):
            raise ValueError(f"{row['file']}, line {row['line']}: " + why.format(encoding=dialect.encoding))
    return rejected(batch, wanted)


def rejected(batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
    """Rows of `rejected_lines` as rows of nulls whose `_line` says where a line is, what is wrong with it and its text."""
    size = batch.num_rows
    texts = [f"{row['file']}:{row['line']}: {row['message']}: {row['text']}"[:2000] for row in batch.to_pylist()]
    nothing = {name: pa.nulls(size, pa.string()) for name in wanted}
    return pa.RecordBatch.from_pydict(
        {**nothing, "_micros": pa.nulls(size, pa.int64()), LINE: pa.array(texts, pa.string())}
    )
