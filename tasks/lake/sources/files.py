"""Files: logs in csv, Parquet or JSON lines, on disk or on S3, whole history or files for each period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from tasks.lake.arrivals import LINE
from tasks.lake.delimited import Dialect, check_columns, read_delimited
from tasks.lake.finding import chosen, found, roles
from tasks.lake.periods import Period
from tasks.lake.sources.json_lines import read_json_lines
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Columns

Format = Literal["csv", "parquet", "jsonl"]
ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dat": "csv", ".data": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip


@dataclass(frozen=True)
class Files:
    """`path` may hold * and ?, and `{period}`, which becomes the period's name; without it rows are chosen by their
    time.

    With `{period}` all rows of a period's files belong to it, and those with a time outside it are quarantined.
    """

    path: str | tuple[str, ...]
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    delimiter: str = ""  # csv: found out from the first line where it is empty
    encoding: str = "utf-8"  # csv

    def __post_init__(self) -> None:
        """Raise ValueError where an option cannot be."""
        if not self.paths or not all(isinstance(path, str) and 0 < len(path) <= 4096 for path in self.paths):
            raise ValueError("the files source needs `path`: one path or a list of them, each at most 4,096 characters")
        if self.format not in ("auto", *ENDINGS.values()):
            raise ValueError(f"format is {self.format!r}, must be auto, csv, parquet or jsonl")
        if len(self.delimiter.encode()) > 4:
            raise ValueError(f"delimiter is {self.delimiter[:20]!r}, must have at most 4 bytes")

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as given, one or many."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    def describe(self) -> str:
        """One line for people."""
        return f"files {', '.join(self.paths)}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError where there is no file, ValueError where one is not right."""
        files = [file for path in self.paths for file in found(warehouse, path, period.name)]
        named = any("{period}" in path for path in self.paths)
        window = None if named or period.start is None or period.end is None else (period.start, period.end)
        wanted = roles(columns)
        for kind in dict.fromkeys(self._kind(file) for file in files):
            same = [file for file in files if self._kind(file) == kind]
            rows = self._read(warehouse, kind, same, columns, wanted, window)
            yield from rows if window is None else chosen(rows, period, same[0])

    def _kind(self, file: str) -> Format:
        """What a file is, by its ending."""
        if self.format != "auto":
            return self.format
        plain = file.lower().removesuffix(".gz").removesuffix(".zst")
        kind = next((kind for ending, kind in ENDINGS.items() if plain.endswith(ending)), None)
        if kind is None:
            raise ValueError(
                f"{file}: the ending does not say what it is; set the source's option `format`: csv, parquet or jsonl"
            )
        return kind

    def _read(
        self, warehouse: Warehouse, kind: Format, files: list[str], columns: Columns, wanted: list[str],
        window: tuple[int, int] | None,
    ) -> Iterator[pa.RecordBatch]:  # fmt: skip
        if kind == "csv":
            return read_delimited(
                warehouse, files, Dialect(self.delimiter, self.encoding), columns, wanted, window is not None
            )
        if kind == "parquet":
            return read_parquet(warehouse, files, columns, wanted, window)
        lines = read_json_lines(warehouse, files, columns, wanted, window is not None)
        return (batch.drop_columns(LINE) for batch in lines)


def read_parquet(
    warehouse: Warehouse, files: list[str], columns: Columns, wanted: list[str], window: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet files in the `window` of times (µs), or all; each with its time as `_micros`."""
    for file in files:
        check_columns(file, _parquet_columns(warehouse, file), wanted)
    asked = {"files": files, "time": columns.time, "unit": columns.time_unit}
    if window is not None:
        (untimed,) = warehouse.scan(("untimed_parquet", asked))
        window = None if untimed.column(0)[0].as_py() else window  # a row without a time goes where its neighbours go
    start, end = window or (None, None)
    yield from warehouse.scan(("read_parquet", {**asked, "wanted": wanted, "start": start, "end": end}))


def _parquet_columns(warehouse: Warehouse, file: str) -> list[str]:
    try:
        return [
            name
            for batch in warehouse.scan(("parquet_columns", {"file": file}))
            for name in batch.column("name").to_pylist()
        ]
    except ValueError as error:
        raise ValueError(
            f"{file} is no whole Parquet file ({error}): deliver it again, or set the option `format`"
        ) from error
