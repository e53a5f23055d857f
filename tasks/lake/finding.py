"""Finding: which files a path names, which of their columns a plan wants, and which of their rows a period has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from tasks.lake.names import check_file, unreadable_name
from tasks.lake.periods import Period
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Columns


def roles(columns: Columns) -> list[str]:
    """The source's columns that a plan names, once each."""
    maybe = [name for name in (columns.label, columns.served) if name]
    named = [columns.user, columns.item, columns.time, *maybe, *columns.categorical, *columns.numeric, *columns.key]
    return list(dict.fromkeys(named))


def found(warehouse: Warehouse, pattern: str, period: str = "") -> list[str]:
    """The files a path names, whose {period} is the name of one. Raises FileNotFoundError where there are none, and
    ValueError where one may not be read."""
    path = pattern.replace("{period}", period) if period else pattern
    try:
        batches = list(warehouse.scan(("found_files", {"pattern": path})))
    except ValueError as error:
        if name := unreadable_name(path):
            raise ValueError(f"{name}: the file's name is no UTF-8: rename it") from error
        raise
    files: list[str] = [name for batch in batches for name in batch.column("file").to_pylist()]
    if not files:
        raise FileNotFoundError(f"no file {path[:200]!r}: deliver it, or change the source's `path` in the plan")
    for file in files:
        check_file(file, pattern)
    return files


def chosen(batches: Iterable[pa.RecordBatch], period: Period, file: str) -> Iterator[pa.RecordBatch]:
    """Rows with a time (`_micros`) in the period, or all by equal counts; a row whose time cannot be read goes where
    the row before it goes.

    Raises ValueError where no row has a time that can be read.
    """
    if period.start is None or period.end is None:
        yield from batches
        return
    last, seen, rows = None, 0, 0
    for batch in batches:
        micros = batch.column("_micros")
        if micros.null_count:
            micros = pc.fill_null_forward(pa.concat_arrays([pa.array([last], pa.int64()), micros]))[1:]
            micros = pc.fill_null(micros, period.start if period.index == 0 else -(2**62))
        seen, rows = seen + batch.num_rows - batch.column("_micros").null_count, rows + batch.num_rows
        last = micros[-1].as_py() if len(micros) and seen else last
        yield batch.filter(pc.and_(pc.greater_equal(micros, period.start), pc.less(micros, period.end)))
    if rows and not seen:
        raise ValueError(
            f"{file}: not one of {rows:,} rows has a time that can be read; name the right column and its unit in "
            f"the plan"
        )


def between(batches: Iterable[pa.RecordBatch], begin: str, end: str) -> Iterator[pa.RecordBatch]:
    """Rows with a time (`_micros`) from the date `begin` up to, not including, the date `end` (UTC; empty: no bound).

    Rows without a time that can be read stay, for the lake to put aside.
    """
    first, last = midnight(begin or "0001-01-01"), midnight(end or "9999-12-31")
    for batch in batches:
        micros = batch.column("_micros").cast(pa.int64())
        inside = pc.and_(pc.greater_equal(micros, first), pc.less(micros, last))
        yield batch.filter(pc.fill_null(inside, True))


def midnight(day: str) -> int:
    """The first µs (UTC, since 1970) of an ISO date. Raises ValueError where it is none."""
    return (date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000_000
