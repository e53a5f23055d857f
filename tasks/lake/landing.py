"""Landing: put a delivery into the lake, as a new version of its period, or as the version that it is already.

All rows are read, typed and counted in a scratch file first. If the source fails, nothing is written.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from nightloop.tasks.lake.incoming import PRIVATE, IncomingRows, incoming_rows
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.read_back import lost_write, read_back
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, NotReady
from nightloop.tasks.plan.plan import Columns

PART = 2_000_000  # rows whose keys are compared at once


@dataclass(frozen=True)
class Landing:
    """One version of one period in the lake. `fresh`: this call made it; else the same rows had landed before."""

    period: int
    version: int
    digest: str  # SHA-256 over all rows that arrived, whatever their order
    rows: int
    fresh: bool
    remark: str = ""  # for a delivery without rows: what its files hold instead

    @property
    def place(self) -> tuple[int, int, str]:
        """Period, version and digest: they identify the landing, also among those of another catalog."""
        return self.period, self.version, self.digest


@dataclass(frozen=True)
class StagedDelivery:
    """A staged delivery, counted. `suspects`: how many hashes of keys occur in more than one row."""

    landing: Landing
    file: Path
    arrived: IncomingRows
    suspects: int


def land(
    warehouse: Warehouse, period: Period, batches: Iterable[pa.RecordBatch], columns: Columns, rules: str = ""
) -> Landing:
    """The version of `period` that holds these rows: a new one, unless the newest holds the same under the same
    `rules`.

    For a period of equal counts `batches` is the whole history, of which this period's rows are used. `rules` is the digest
    of what decides which rows are clean. Rows that cannot be typed go to quarantine with their reasons, as do repeats of a
    key. Raises DataError if the source cannot be read, NotReady if a period of equal counts is not complete yet.
    """
    with tempfile.TemporaryDirectory(dir=warehouse.scratch) as room:
        file, arrived = stage(warehouse, batches, columns, Path(room))
        if period.rows is not None:
            _refuse_moved_rows(warehouse, file, period, arrived.names, rules)
            file = cut_rows(warehouse, file, period.index, period.rows)
        return put_delivery(warehouse, period, file, arrived, rules)


def put_delivery(
    warehouse: Warehouse, period: Period, file: Path, arrived: IncomingRows, rules: str, again: bool = False
) -> Landing:
    """Put staged rows into the lake. `again`: as a new version even if the newest holds the same rows."""
    delivery = measure_delivery(warehouse, period, file, arrived)
    landed = _newest(warehouse, delivery.landing, rules)
    if not again and not landed.fresh:
        return landed

    def insert() -> Landing:
        newest = _newest(warehouse, delivery.landing, rules)
        if not again and not newest.fresh:
            return newest  # another writer was first
        return _insert_version(
            warehouse, replace(delivery, landing=replace(newest, version=newest.version + 1, fresh=True)), rules
        )

    return warehouse.write(insert)


def measure_delivery(warehouse: Warehouse, period: Period, file: Path, arrived: IncomingRows) -> StagedDelivery:
    """Count a staged delivery, hash its content, and note which keys may be repeated."""
    (staged,) = warehouse.query("ingest/staged_digest", {"file": str(file)}).to_pylist()
    warehouse.query("ingest/no_suspects")
    parts = 1 + staged["rows"] // PART
    params = ({"file": str(file), "part": part, "parts": parts} for part in range(parts))
    suspects = sum(warehouse.query("ingest/note_suspects", part).column(0)[0].as_py() for part in params)
    content = digest(staged["rows"], staged["total"], arrived.names)
    return StagedDelivery(Landing(period.index, 0, content, staged["rows"], True), file, arrived, suspects)


def stage(
    warehouse: Warehouse, batches: Iterable[pa.RecordBatch], columns: Columns, room: Path
) -> tuple[Path, IncomingRows]:
    """Write a delivery with typed columns to a file in the directory `room`."""
    arrived, file = incoming_rows(batches, columns), room / "staged.parquet"
    params = {
        "part": str(file), "unit": columns.time_writing, "numbers": list(arrived.numbers), "words": list(arrived.words),
        "labelled": columns.label is not None, "private": PRIVATE,
    }  # fmt: skip
    try:
        with warehouse.lend(arrived.reader):
            warehouse.query("ingest/stage_rows", params)
    except (ValueError, OSError, MemoryError) as error:
        raise arrived.failures[0] if arrived.failures else error from None
    return file, arrived


def _refuse_moved_rows(warehouse: Warehouse, file: Path, period: Period, names: Sequence[str], rules: str) -> None:
    """Raise DataError if the rows of earlier periods are no longer those that landed: late rows move all that follow.

    Otherwise periods would share or miss rows, and a night would be scored on rows that another one was trained on.
    """
    moved = None
    for index in range(period.index - 1, -1, -1):
        newest = warehouse.query("ingest/newest_landing", {"period": index}).to_pylist()
        if not newest or newest[0]["rules"] != rules:
            break  # it landed under other rules, so it cannot be compared
        part = cut_rows(warehouse, file, index, period.rows or 0)
        (counted,) = warehouse.query("ingest/staged_digest", {"file": str(part)}).to_pylist()
        if digest(counted["rows"], counted["total"], names) == newest[0]["digest"]:
            break
        moved = index
    if moved is not None:
        raise DataError(
            f"the rows of period {moved:06d} are no longer those that landed: rows that came late, or were removed, have moved all "
            f"that follow, so that period {period.name} would share rows with earlier ones or miss some. Give late rows "
            f"times after all that landed; or collect again: nightloop backfill PLAN --start {moved:06d} --what all"
        )


def cut_rows(warehouse: Warehouse, file: Path, index: int, rows: int) -> Path:
    """The rows of one period of equal counts, by its index, from the staged history."""
    part, skip = file.with_name("cut.parquet"), index * rows
    parameters = {"file": str(file), "part": str(part), "rows": rows, "skip": skip}
    count = warehouse.query("ingest/cut_rows", parameters).column(0)[0].as_py()
    if count < rows:
        raise NotReady(f"period {index:06d} is not complete: the source has {count:,} of its {rows:,} rows so far")
    return part


def digest(rows: int, total: str, names: Sequence[str]) -> str:
    """The hash of a content: SHA-256 of the number of rows, the sum of their hashes, and the names of the columns."""
    return hashlib.sha256(json.dumps([rows, total, sorted(names)]).encode()).hexdigest()


def _newest(warehouse: Warehouse, landing: Landing, rules: str) -> Landing:
    """The landing with the number of the period's newest version, 0 without one; not fresh if that has the same rows and rules."""
    newest = warehouse.query("ingest/newest_landing", {"period": landing.period}).to_pylist()
    if not newest:
        return landing
    same = (newest[0]["digest"], newest[0]["rules"]) == (landing.digest, rules)
    return replace(landing, version=newest[0]["version"], fresh=not same)


def _insert_version(warehouse: Warehouse, delivery: StagedDelivery, rules: str) -> Landing:
    """Insert a new version, which the delivery's landing names. To be called in a transaction."""
    landing, columns, version = delivery.landing, delivery.arrived.names, delivery.landing.version
    _add_columns(warehouse, delivery.arrived)
    params = {"file": str(delivery.file), "period": landing.period, "version": version}
    warehouse.query("ingest/insert_landed", params)
    warehouse.query("ingest/insert_unreadable", params)
    if delivery.suspects:
        warehouse.query("ingest/insert_duplicates", params)
    record = {
        "period": landing.period,
        "version": version,
        "digest": landing.digest,
        "rules": rules,
        "rows": landing.rows,
    }
    warehouse.query("ingest/insert_collected", {**record, "columns": json.dumps(columns)})
    _refuse_lost_rows(warehouse, landing, version)
    return landing


def _refuse_lost_rows(warehouse: Warehouse, landing: Landing, version: int) -> None:
    """Raise StoreError if the rows, or what was put aside of them, cannot be read back. The transaction is rolled back then.

    What answers a write need not be S3: a proxy may say that it is done. A version without its rows would stop every night.
    """
    what, key = f"the rows of period {landing.period}", {"period": landing.period, "version": version}
    written, aside = (partial(warehouse.query, f"ingest/{name}", key) for name in ("written_rows", "aside_rows"))
    rows = read_back(written, what, warehouse.place).column(0)[0].as_py()
    if rows != landing.rows:
        raise lost_write(what, warehouse.place, f"{rows:,} of {landing.rows:,} are there")
    read_back(aside, f"what was put aside of {what}", warehouse.place)


def _add_columns(warehouse: Warehouse, arrived: IncomingRows) -> None:
    """Add the plan's columns to the table `landed`. Raises DataError if one exists with the other type."""
    types = {row["name"].casefold(): row["type"] for row in warehouse.query("catalog/landed_columns").to_pylist()}
    wanted = dict.fromkeys(arrived.texts, "VARCHAR") | dict.fromkeys(arrived.numbers, "DOUBLE")
    for name, kind in wanted.items():
        if types.get(name.casefold(), kind) != kind:
            raise DataError(
                f"column {name!r} is {types[name.casefold()]} in this pipeline's lake and {kind} in the plan: "
                "keep its role, rename it at the source, or give the pipeline a new name"
            )
    new = [name for name in wanted if name.casefold() not in types]
    for name in new:
        warehouse.define("catalog/add_text" if wanted[name] == "VARCHAR" else "catalog/add_number", {"column": name})
    if new:  # a view does not get columns that were added later
        warehouse.query("catalog/create_logs")
        warehouse.query("catalog/create_newest_logs")
