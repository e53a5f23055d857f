"""Select files: find the files of a path, and keep the rows of a period."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.table_folders import found_files, refuse_tables
from nightloop.tasks.lake.file_names import WILD, check_file, unreadable_name
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.periods import EPOCH, Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, PlanError, StoreError

MARKS = ("_", ".")
TIMES = (
    "Read are numbers (s, ms, us or ns since 1970, not as floats of 32 bits; days with `time_unit: days`), ISO 8601, 20260131, "
    "01/31/2026 9:05:58 AM, 31 Jan 2026 and their like; any other form with `time_format`, such as %d/%m/%Y %H:%M, in the plan's `columns`"
)


def require_path(source: str, path: object, example: str) -> None:
    """Raise PlanError if a source's option `path` is not a text of 1 to 4,096 characters. `example`: a path, in words."""
    if not isinstance(path, str) or not 0 < len(path) <= 4096:
        raise PlanError(f"{source} needs `path`, of at most 4,096 characters: {example}")


def list_files(warehouse: Warehouse, pattern: str, period: str = "") -> list[str]:
    """The files that match a path. `period`: the name that replaces {period} in it.

    Raises FileNotFoundError if no file matches, and DataError or StoreError if one may not be read.
    """
    path = pattern.replace("{period}", period) if period else pattern
    scheme, sign, _ = path.partition("://")
    if sign and scheme != "s3":
        raise DataError(
            f"{path[:200]!r}: read are files on disk and on S3, s3://bucket/key: copy or mount these files there"
        )
    if sign and warehouse.remote is None:
        raise DataError(
            f"{path[:200]!r}: S3 is out of reach here, because neither the settings nor the plan's source name it: set "
            "NIGHTLOOP_S3_ENDPOINT, or give the path in a plan"
        )
    try:
        names = found_files(warehouse, path)
    except ValueError as error:
        if name := unreadable_name(path):
            raise DataError(f"{name}: the file's name is not UTF-8: rename it") from error
        raise
    except OSError as error:
        if not sign:
            raise
        raise StoreError(
            f"{path[:200]!r} cannot be looked up on S3: {error}. NIGHTLOOP_S3_ENDPOINT and NIGHTLOOP_S3_REGION say where S3 is, "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY who asks"
        ) from error
    if sign and not WILD.search(path):  # DuckDB finds every such name on S3, also where there is no object
        warehouse.open_file(path).close()
    if "://" not in path and (broken_link := _find_broken_link(path)):
        raise FileNotFoundError(
            f"{broken_link!r} is a symbolic link to a file that does not exist: is a disk not mounted? Nothing was read"
        )
    if "://" not in path and "[" in path and not {*"*?"} & {*path} and Path(path).is_file():
        refuse_tables(warehouse, [path])
        return [path]  # a name that looks like a pattern
    if not path.startswith("./"):  # DuckDB puts it before files that are found by a wildcard at the start of a path
        names = [name.removeprefix("./") for name in names]
    files = [file for file in names if not _is_hidden(file, pattern)]
    if not files:
        if "://" not in path and Path(path).is_dir():
            raise FileNotFoundError(
                f"{path[:200]!r} is a directory: name the files in it, such as {path[:200].rstrip('/')}/**/*.parquet"
            )
        beside = f" (but {names[0]!r}, and names that begin with _ or . are passed over)" if names else ""
        raise FileNotFoundError(
            f"no file {path[:200]!r}{beside}: deliver it, or change the source's `path` in the plan"
        )
    _refuse_folders(warehouse, path)
    for file in files:
        check_file(file, pattern)
    refuse_tables(warehouse, files)
    return files


def _refuse_folders(warehouse: Warehouse, path: str) -> None:
    """Raise DataError if a pattern such as *.csv, which names files, names a folder with files too: they would be left out."""
    last = path.rpartition("/")[2]
    if "**" in path or not WILD.search(last) or "." not in last:
        return
    inside = [name for name in found_files(warehouse, f"{path}/*") if not _is_hidden(name, f"{path}/*")]
    if inside:
        raise DataError(
            f"{path[:200]!r} names files and the folder {os.path.dirname(inside[0])!r}, whose files would be left out: move these files "
            f"beside the others, or name all of them with **, such as {path[: -len(last)][:200]}**/*{os.path.splitext(inside[0])[1]}"
        )


def _find_broken_link(pattern: str) -> str:
    """The first broken symbolic link among the folders and files of a pattern; empty if there is none."""
    parts = pattern.split("/")
    wild = next((n for n, part in enumerate(parts) if WILD.search(part)), len(parts))
    deep = next((n for n, part in enumerate(parts) if part == "**"), len(parts))
    starts = ("/".join(parts[: n + 1]) for n in range(min(wild, len(parts) - 1), min(deep, len(parts))))
    met = chain(
        (path for start in starts for path in glob.iglob(start)), _walk_below("/".join(parts[:deep]), parts[deep:])
    )
    return next((path for path in met if os.path.islink(path) and not os.path.exists(path)), "")


def _walk_below(start: str, rest: Sequence[str]) -> Iterator[str]:
    """Folders and files below the folders `start` that may match the last part of `rest`. Links are not followed."""
    for folder_start in glob.iglob(start) if rest else ():
        for folder, folders, files in os.walk(folder_start):
            yield from (
                os.path.join(folder, name) for name in (*folders, *files) if "." not in name or fnmatch(name, rest[-1])
            )


def _is_hidden(file: str, pattern: str) -> bool:
    """Whether the name of a file, or of a folder below the first wildcard, begins with _ or . although no part of the pattern names it.

    Programs that write data leave such files beside it, also those that are not committed: _SUCCESS, _temporary, .part-0.crc.
    """
    pattern = pattern.replace("{period}", "*")
    wild = WILD.search(pattern)
    if wild is None:
        return False
    base = pattern[: wild.start()].rpartition("/")[0]
    parts, pattern_parts = file.removeprefix(base).split("/"), pattern.removeprefix(base).split("/")
    named = [part for part in pattern_parts if part.startswith(MARKS)]
    hidden = (part for part in parts if part.startswith(MARKS) and part not in (".", ".."))
    return any(not any(fnmatch(part, name) for name in named) for part in hidden)


def rows_in_period(
    batches: Iterable[pa.RecordBatch], period: Period, file: str, time: str = "", remarks: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows whose time (`_micros`) is in the period; all rows if periods are equal counts.

    A row whose time cannot be read belongs to the period of the row before it. Raises DataError if no time can be read;
    the message shows one, from the column `time`. If rows have times and none is in the period, a sentence is added to
    `remarks`.
    """
    if period.start is None or period.end is None:
        yield from batches
        return
    last, readable, rows, example, inside_rows = None, 0, 0, "", 0
    ends: list[int] = []  # first and last time
    for batch in batches:
        micros = batch.column("_micros")
        if micros.null_count:
            micros = pc.fill_null_forward(pa.concat_arrays([pa.array([last], pa.int64()), micros]))[1:]
            micros = pc.fill_null(micros, period.start if period.index == 0 else -(2**62))
        example = example or _example(batch, time)
        readable, rows = readable + batch.num_rows - batch.column("_micros").null_count, rows + batch.num_rows
        last = micros[-1].as_py() if len(micros) and readable else last
        inside = batch.filter(pc.and_(pc.greater_equal(micros, period.start), pc.less(micros, period.end)))
        inside_rows, ends = inside_rows + inside.num_rows, [*ends, *_time_range(batch.column("_micros"))]
        ends = [min(ends), max(ends)] if ends else []
        yield inside
    if rows and not readable:
        raise DataError(f"{file}: not one of {rows:,} rows has a time that can be read{example}. {TIMES}")
    if ends and not inside_rows and remarks is not None:
        remarks.append(no_row_in_period(file, rows, ends[0], ends[1]))


def _time_range(micros: pa.Array) -> list[int]:
    ends = pc.min_max(micros).as_py()
    return [] if ends["min"] is None else [ends["min"], ends["max"]]


def name_files(files: Sequence[str]) -> str:
    """The first of many files, and how many more there are."""
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def no_row_in_period(file: str, rows: int, first: int, last: int) -> str:
    """The message for files without a row in the period. `rows`: how many they have; `first`, `last`: their times (µs)."""
    begin, end = (EPOCH + timedelta(microseconds=at) for at in (first, last))
    return f"{file}: none of its {rows:,} rows lies in the period; its times go from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _example(batch: pa.RecordBatch, time: str) -> str:
    """In words: a time of the batch that cannot be read, or a line that cannot be parsed."""
    for name in (time, LINE):
        if name in batch.schema.names:
            values = batch.filter(pc.is_null(batch.column("_micros"))).column(name).drop_null()
            if len(values):
                return f", such as {str(values[:1].cast(pa.string())[0].as_py())[:120]!r}"  # a time may be beyond those of Python
    return ""


def rows_between_dates(batches: Iterable[pa.RecordBatch], begin: str, end: str) -> Iterator[pa.RecordBatch]:
    """Rows with a time (`_micros`) from the date `begin` up to, not including, the date `end` (UTC; empty: no bound).

    A row whose time cannot be read is kept: the lake puts it into quarantine.
    """
    first, last = midnight_of(begin or "0001-01-01"), midnight_of(end or "9999-12-31")
    for batch in batches:
        micros = batch.column("_micros").cast(pa.int64())
        inside = pc.and_(pc.greater_equal(micros, first), pc.less(micros, last))
        yield batch.filter(pc.fill_null(inside, True))


def midnight_of(day: str) -> int:
    """The first µs (UTC, since 1970) of an ISO date. Raises ValueError if it is not one."""
    return (date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000_000
