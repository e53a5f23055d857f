"""Files: logs in csv, Parquet or JSON lines, on disk or on S3, whole history or files for each period."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Literal

import pyarrow as pa

from nightloop.tasks.formats.csv_reader import Dialect, column_names, read_delimited
from nightloop.tasks.formats.date_order import with_clear_dates
from nightloop.tasks.formats.decompress import UNPACK
from nightloop.tasks.formats.file_columns import MayLack
from nightloop.tasks.formats.json_lines import json_keys, read_json_lines
from nightloop.tasks.formats.parquet_reader import parquet_columns, read_parquet
from nightloop.tasks.formats.path_columns import in_path
from nightloop.tasks.formats.select_files import list_files, name_files, rows_in_period
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.plan import Columns

Format = Literal["csv", "parquet", "jsonl"]
ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dat": "csv", ".data": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip
PACKED = (".zip", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz", ".z", ".lz4", ".br")
NAME = r"\d{4}-\d\d(?:-\d\d(?:T\d\d:\d\d(?:[+-]\d{4})?)?)?|\d{6}"  # of a period
SAMPLE, SAMPLE_BATCHES = 12, 10  # files, and batches of each, that are looked at for the order of day and month
PLAIN_NAMES = {"iso8859-1": "latin-1"}  # as DuckDB calls what Python calls so


@dataclass(frozen=True)
class Files:
    r"""Logs in csv, Parquet or JSON lines, on disk or on S3: one history, or files for each period.

    Without `{period}` in the path, rows are chosen by their time. With it, all rows of a period's files belong to the
    period, and those with a time outside it go into quarantine. An unknown ending is refused unless `format` is given.

    Parameters
    ----------
    path : str or sequence of str
        Files, plain or compressed (.gz, .zst). It may hold `*`, `**` and `?`, and `{period}`, which becomes the
        period's name.
    format : {"auto", "csv", "parquet", "jsonl"}, default "auto"
        "auto": by the ending, such as .csv, .tsv, .txt, .parquet, .jsonl or .json.
    delimiter : str, default ""
        csv: what separates fields, at most 4 bytes. Empty: it is found from the first line.
    encoding : str, default ""
        csv: a name that Python knows. Empty: utf-8, or utf-16 if the file begins with its mark.
    names : sequence of str, default ()
        csv: names of the columns, in their order. Empty: the first line holds them.
    header : bool, optional
        csv: whether the first line holds names. If it is not given: yes, unless `names` are given.
    quote : str, default '"'
        csv: the character around a field. Empty: none.
    escape : str, default '"'
        csv: the character before a quote inside such a field. Empty: none.
    comment : str, default ""
        csv: the character that a comment line begins with. Empty: there are no such lines.
    decimal : {".", ","}, default "."
        csv: the character before the decimals of a number.

    Raises
    ------
    PlanError
        An option is out of range.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Calendar, Columns
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.files import Files
    >>> columns, day = Columns(user="who", item="what", time="when"), period(Calendar(start="2026-01-01"), 0)
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "shop") as warehouse:
    ...     _ = Path(folder, "logs.csv").write_text("ann,tea,2026-01-01\nbob,jam,2026-01-02")
    ...     source = Files(f"{folder}/logs.csv", names=("who", "what", "when"))
    ...     [batch] = source.batches(warehouse, day, columns)
    >>> batch.select(["who", "what", "when"]).to_pylist()
    [{'who': 'ann', 'what': 'tea', 'when': '2026-01-01'}]
    """

    path: str | tuple[str, ...]
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    delimiter: str = ""
    encoding: str = ""
    names: tuple[str, ...] = ()
    header: bool | None = None
    quote: str = '"'
    escape: str = '"'
    comment: str = ""
    decimal: Literal[".", ","] = "."

    def __post_init__(self) -> None:
        """Raise PlanError if an option is out of range."""
        if not self.paths or not all(isinstance(path, str) and 0 < len(path) <= 4096 for path in self.paths):
            raise PlanError("the files source needs `path`: one path or a list of them, each at most 4,096 characters")
        if self.format not in ("auto", *ENDINGS.values()):
            raise PlanError(f"format is {self.format!r}, must be auto, csv, parquet or jsonl")
        if len(self.delimiter.encode()) > 4:
            raise PlanError(f"delimiter is {self.delimiter[:20]!r}, must have at most 4 bytes")
        for name in ("quote", "escape", "comment"):
            if len(given := str(getattr(self, name)).encode()) > 1:
                raise PlanError(f"{name} is {given[:20].decode()!r}, must be one ASCII character or empty")
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, UnicodeError, TypeError, AssertionError):
            raise PlanError(
                f"encoding is {self.encoding[:40]!r}, must be one that Python knows: utf-8, latin-1, cp1252, utf-16, ..."
            ) from None
        if self.header is False and not self.names:
            raise PlanError("header is false and no `names` are given: say what the columns are called, in their order")
        if len(set(self.names)) < len(self.names):
            raise PlanError(f"names has a name twice: {', '.join(self.names)[:200]}")

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as given, one or many."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    @property
    def dialect(self) -> Dialect:
        """How csv files are written."""
        encoding = codecs.lookup(self.encoding).name if self.encoding else ""
        return Dialect(
            self.delimiter, PLAIN_NAMES.get(encoding, encoding), tuple(self.names), self.header, self.quote,
            self.escape, self.comment, self.decimal,
        )  # fmt: skip

    def describe(self) -> str:
        """One line for people."""
        return f"files {', '.join(self.paths)}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError if there is no file, DataError if one cannot be read."""
        files = [*dict.fromkeys(file for path in self.paths for file in list_files(warehouse, path, period.name))]
        named = any("{period}" in path for path in self.paths)
        window = None if named or period.start is None or period.end is None else (period.start, period.end)
        may_lack = self._may_lack(warehouse, columns)
        for kind in dict.fromkeys(self._kind(file) for file in files):
            same = [file for file in files if self._kind(file) == kind]
            read = self._read(warehouse, same, columns, window, may_lack)
            rows = with_clear_dates(read, columns, lambda: self._sample(warehouse, columns))
            if window is not None:
                rows = rows_in_period(rows, period, name_files(same), columns.time, warehouse.remarks)
            yield from rows

    def files(self, warehouse: Warehouse) -> list[str]:
        """Every file of every period, those of a path in order of name. Raises FileNotFoundError if there is none."""
        return [
            *dict.fromkeys(file for path in self.paths for file in list_files(warehouse, path.replace("{period}", "*")))
        ]

    def period_of(self, file: str) -> str:
        """The name of the period in a file's path; empty if the path has no {period}."""
        for path in self.paths:
            if "{period}" in path:
                before, _, after = (re.escape(part) for part in path.partition("{period}"))
                pattern = f"(?P<period>{NAME})".join(
                    (_expression(before), _expression(after.replace(r"\{period\}", "(?P=period)")))
                )
                if named := re.fullmatch(pattern, file):
                    return named["period"]
        return ""

    def rows_of(self, warehouse: Warehouse, file: str, columns: Columns) -> Iterator[pa.RecordBatch]:
        """All rows of one file, with their times as `_micros`."""
        always = (-(2**62), 2**62)
        rows = self._read(warehouse, [file], columns, always, self._may_lack(warehouse, columns))
        return with_clear_dates(rows, columns, lambda: self._sample(warehouse, columns))

    def names_in(self, warehouse: Warehouse, file: str, whole: bool = False) -> list[str]:
        """The names of a file's columns; `whole`: also keys that JSON lines have late. Raises DataError if it has none."""
        kind = self._kind(file)
        if kind == "csv":
            return column_names(warehouse, file, self.dialect)
        return parquet_columns(warehouse, file) if kind == "parquet" else json_keys(warehouse, file, whole)

    def _kind(self, file: str) -> Format:
        """What a file is, by its ending."""
        if self.format != "auto":
            return self.format
        plain = file.lower().removesuffix(".gz").removesuffix(".zst")
        kind = next((kind for ending, kind in ENDINGS.items() if plain.endswith(ending)), None)
        if kind is None and plain.endswith(PACKED):
            raise DataError(f"{file} is packed in a way that is not read: {UNPACK}")
        if kind is None:
            raise DataError(
                f"{file}: the ending does not say what it is; set the source's option `format`: csv, parquet or jsonl"
            )
        return kind

    def _may_lack(self, warehouse: Warehouse, columns: Columns) -> MayLack:
        """Features that a file may lack because the newest file has them: they are null in files from before they came."""
        features = {*columns.categorical, *columns.numeric} - {columns.user, columns.item, columns.time, *columns.key}

        @cache
        def newest(whole: bool) -> list[str]:
            file = list_files(warehouse, self.paths[-1].replace("{period}", "*"))[-1]
            return [*self.names_in(warehouse, file, whole), *in_path(file)]

        return lambda name: name in features and (name in newest(False) or name in newest(True))

    def _sample(self, warehouse: Warehouse, columns: Columns) -> Iterator[pa.RecordBatch]:
        """The first rows of files of all periods, from the first to the newest. What is wrong with one stops only its own period."""
        files, head = self.files(warehouse), replace(warehouse, head=True)
        for file in dict.fromkeys(files[n * (len(files) - 1) // (SAMPLE - 1)] for n in range(SAMPLE)):
            with suppress(DataError, BlockingIOError):
                yield from islice(self._read(head, [file], columns, None, lambda name: True), SAMPLE_BATCHES)

    def _read(
        self,
        warehouse: Warehouse,
        files: list[str],
        columns: Columns,
        window: tuple[int, int] | None,
        may_lack: MayLack,
    ) -> Iterator[pa.RecordBatch]:
        kind, wanted, timed = self._kind(files[0]), columns.names, window is not None
        if kind == "csv":
            return read_delimited(warehouse, files, self.dialect, columns, wanted, timed, may_lack)
        if kind == "parquet":
            return read_parquet(warehouse, files, columns, wanted, window, may_lack)
        return read_json_lines(warehouse, files, columns, wanted, timed, may_lack)


def _expression(escaped: str) -> str:
    """A part of a path with * and ?, its other letters escaped, as a regular expression."""
    return escaped.replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
