"""A sample: rows of the first, a middle and the newest file of a source, read as a night reads them, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from nightloop.tasks.inspection.file_relations import file_relations
from nightloop.tasks.inspection.other_columns import OtherColumn, other_columns
from nightloop.tasks.inspection.sample_columns import (
    DayCount,
    NumberSpread,
    TextKind,
    day_counts,
    number_spreads,
    text_kinds,
)
from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.ingest import read_until_complete
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.periods import EPOCH, Period, index_at, parse, period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.values import as_text
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.validation.gx import EarlierNights, import_in_background, validate_period
from nightloop.tasks.validation.result import Validation

MOST = 100_000  # rows of a sample
SEVERAL = r"[|]|^\s*\["  # what a text has that holds several values: | between them, or a list of JSON
POINTED = r"^\s*-?[0-9]*[.][0-9]*\s*$"  # a number with a point
CLOCK = ":[0-9]{2}"  # what a time has
OFFSET = r"(?:[Zz]|UTC|GMT|[A-Za-z]/[A-Z]\w+|:[0-9.,]+\s*[+-][0-9]{2}(?::?[0-9]{2})?)(?: [0-9]{4})?\s*$"  # of a time, and a year after it
THOUSANDS = r"^\s*-?[1-9][0-9]{0,2}[.][0-9]{3}\s*$"  # a number whose point may separate thousands
BEYOND = "after the last one of the calendar"
EXAMPLES = 3  # of ids and times
HOUR = 3_600_000_000  # µs
WHOLE = Period(0, "the sample", None, None)  # no calendar: times are compared with the periods here

Micros = npt.NDArray[np.int64]


@dataclass
class SampleNotes:
    """What is recorded of rows while they are read."""

    rows: int = 0
    cut: bool = False  # whether rows were left out
    coarse: str = ""  # the column of times, if its type is too coarse for seconds
    times: dict[str, str] = field(default_factory=dict)  # as written -> as read
    offsets: dict[bool, str] = field(default_factory=dict)  # whether a time has an offset -> the first such time
    ids: dict[str, dict[str, str]] = field(default_factory=lambda: {"user": {}, "item": {}})
    several: dict[str, str] = field(
        default_factory=dict
    )  # columns with several values -> a value; empty: one has several
    # columns of numbers -> one whose point may separate thousands; empty: their points are decimal
    thousands: dict[str, str] = field(default_factory=dict)
    # file -> rows, rows outside its period, first and last time
    outside: dict[str, list[int]] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)  # file -> its rows, if none was left out
    places: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # file -> its first row, and the one after its last


@dataclass(frozen=True)
class Sample:
    """What was read of a source, and the validation that a night would give it."""

    files: int  # that there are; 0: the source does not read files
    read: tuple[str, ...]  # those that were read
    notes: SampleNotes
    periods: tuple[tuple[str, int], ...]  # each with its rows, those before the first under "before"
    span: tuple[str, str] | None  # first and last time
    hours: tuple[int, ...]  # rows by the hour of the day in UTC, 24 of them
    texts: Mapping[str, tuple[TextKind, ...]]  # user, item and each categorical column
    numbers: Mapping[str, NumberSpread]  # each numeric column
    days: Mapping[str, DayCount]  # users and items
    others: tuple[OtherColumn, ...]  # columns of the newest file, or of a table, that the plan does not use
    labels: tuple[tuple[float, int], ...]  # each with its rows
    verdict: Validation
    outside: tuple[str, ...]  # files whose rows lie in other periods than their name says, in words
    relations: tuple[str, ...]  # what is wrong between files, in words

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.notes.cut and len(self.read) == self.files


def sample_source(
    plan: Plan, source: Source, settings: Settings, keys: Mapping[str, str] | None, whole: bool = False
) -> Sample:
    """A sample of the source's rows, or all of them. Nothing is written but in a directory that is removed again.

    Raises as the source does if no row can be read.
    """
    import_in_background()
    with temporary_lake(settings, plan.pipeline, keys) as warehouse:
        return _take_sample(replace(warehouse, head=not whole), plan, source, None if whole else MOST)


@contextmanager
def temporary_lake(settings: Settings, pipeline: str, keys: Mapping[str, str] | None = None) -> Iterator[Warehouse]:
    """A lake in a directory that is removed again, for a look at files that is not kept."""
    with TemporaryDirectory() as folder:
        local = settings.model_copy(update={"home": Path(folder), "data": "", "catalog": SecretStr("")})
        with Warehouse.open(local, pipeline, keys) as warehouse:
            yield warehouse


def _take_sample(warehouse: Warehouse, plan: Plan, source: Any, most: int | None) -> Sample:
    files: list[str] = source.files(warehouse) if hasattr(source, "files") else []
    few = dict.fromkeys(files[n] for n in (0, len(files) // 2, -1)) if files else {}
    read = tuple(few if most else files)
    notes = SampleNotes()

    def land_sample() -> None:
        vars(notes).update(vars(SampleNotes()))
        rows = _rows(warehouse, plan, source, read, most, notes)
        land(warehouse, WHOLE, _take_notes(rows, plan, source, notes), plan.columns)

    read_until_complete(warehouse, land_sample)
    times = warehouse.query("ingest/sample_times").column("micros").to_numpy()
    labels = warehouse.query("ingest/sample_labels").to_pylist() if plan.columns.label else []
    return Sample(
        files=len(files), read=read, notes=notes, periods=_periods(plan, times),
        span=(_iso(int(times.min())), _iso(int(times.max()))) if len(times) else None,
        hours=tuple(np.bincount(times // HOUR % 24, minlength=24).tolist()),
        texts=text_kinds(warehouse, plan.columns), numbers=number_spreads(warehouse, plan.columns),
        days=day_counts(warehouse), others=other_columns(warehouse, source, read[-1] if read else "", plan),
        labels=tuple((row["label"], row["rows"]) for row in labels), verdict=validate_period(warehouse, plan, WHOLE, 1, EarlierNights()),
        outside=tuple(_outside(notes)),
        relations=file_relations(warehouse, plan.columns, {file: notes.places[file] for file in few if file in notes.places}),
    )  # fmt: skip


def _rows(
    warehouse: Warehouse, plan: Plan, source: Any, read: tuple[str, ...], most: int | None, notes: SampleNotes
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows of these files, as many of each; of a source without files those of its first period."""
    for file in read or ("",):
        left = None if most is None else max(most // max(len(read), 1), 1)
        batches = (
            source.rows_of(warehouse, file, plan.columns) if file
            else source.batches(warehouse, period(plan.periods, 0), plan.columns)
        )  # fmt: skip
        for batch in batches:
            if left is not None and batch.num_rows > left:
                notes.cut, batch = True, batch.slice(0, left)
            yield file, batch
            left = None if left is None else left - batch.num_rows
            if left == 0:
                notes.cut = True
                notes.files.pop(file, None)
                break


def _take_notes(
    rows: Iterator[tuple[str, pa.RecordBatch]], plan: Plan, source: Any, notes: SampleNotes
) -> Iterator[pa.RecordBatch]:
    """The batches, noted on their way."""
    columns = plan.columns
    for file, batch in rows:
        notes.places[file] = (notes.places.get(file, (notes.rows, 0))[0], notes.rows + batch.num_rows)
        notes.rows += batch.num_rows
        notes.files[file] = notes.files.get(file, 0) + batch.num_rows
        head = batch.slice(0, 200)
        if "_micros" in batch.schema.names:
            micros = batch.column("_micros").drop_null().to_numpy()
            _note_outside(notes, file, source, plan, micros)
            _note_times(notes.times, head, columns.time)
            _note_offsets(notes.offsets, batch, columns.time)
            if pa.types.is_float32(head.column(columns.time).type):
                notes.coarse = columns.time
        for role, name in (("user", columns.user), ("item", columns.item)):
            _note_ids(notes.ids[role], head, name)
        for name in columns.multi_value:
            _note_several(notes.several, batch, name)
        for name in columns.numeric:
            _note_thousands(notes.thousands, batch, name)
        yield batch


def _note_times(noted: dict[str, str], head: pa.RecordBatch, name: str) -> None:
    """Times as written and as read: the first few, and as many of those that cannot be read."""
    values, micros = flat_column(head, name), head.column("_micros")
    texts = values.cast(pa.string()).to_pylist()
    for row, (text, at) in enumerate(zip(texts, micros.to_pylist(), strict=True)):
        if text is not None and (len(noted) < EXAMPLES or (at is None and len(noted) < 2 * EXAMPLES)):
            raw = None if at is None else values[row].as_py()  # what cannot be read may be beyond the times of Python
            time = _in_utc(raw) if isinstance(raw, datetime) else ""
            noted.setdefault(time or text, "no time" if at is None else _iso(at))


def _note_offsets(noted: dict[bool, str], batch: pa.RecordBatch, name: str) -> None:
    """A time with an offset, and one without, if the batch has such."""
    values = flat_column(batch, name)
    if pa.types.is_timestamp(values.type):
        texts = pc.drop_null(values).slice(0, 1).cast(pa.string())
        with_offset = pa.array([values.type.tz is not None] * len(texts))
    elif pa.types.is_string(values.type):
        texts = values.filter(pc.match_substring_regex(values, CLOCK))
        with_offset = pc.match_substring_regex(texts, OFFSET)
    else:
        return
    for kind in (True, False):
        found = texts.filter(pc.equal(with_offset, kind))
        if len(found):
            noted.setdefault(kind, found[0].as_py())


def _in_utc(time: datetime) -> str:
    """A time in UTC, as which one without a zone is read."""
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return utc.isoformat(timespec="seconds").replace("+00:00", "Z")


def _note_ids(noted: dict[str, str], head: pa.RecordBatch, name: str) -> None:
    """Ids as written and as read: the first few, and as many of those that are read otherwise than they are written."""
    values = flat_column(head, name)
    for raw, text in zip(values.to_pylist(), as_text(values).to_pylist(), strict=True):
        if raw is not None and (len(noted) < EXAMPLES or (str(raw) != text and len(noted) < 2 * EXAMPLES)):
            noted.setdefault(str(raw), "missing" if text is None else text)


def _note_several(noted: dict[str, str], batch: pa.RecordBatch, name: str) -> None:
    """A value of a column that the plan says has several, if no row so far has more than one."""
    values = batch.column(name)
    if noted.get(name, "none yet") and pa.types.is_string(values.type):
        values = pc.drop_null(values)
        several = pc.any(pc.match_substring_regex(values, SEVERAL)).as_py()
        noted[name] = "" if several else noted.get(name) or next(iter(values.slice(0, 1).to_pylist()), "")


def _note_thousands(noted: dict[str, str], batch: pa.RecordBatch, name: str) -> None:
    """A number of text, if all so far that have a point have three digits behind it."""
    values = batch.column(name)
    if noted.get(name, "none yet") and pa.types.is_string(values.type):
        pointed = values.filter(pc.match_substring_regex(values, POINTED))
        if len(pointed):
            whole = pc.all(pc.match_substring_regex(pointed, THOUSANDS)).as_py()
            noted[name] = (noted.get(name) or pointed[0].as_py()) if whole else ""


def _note_outside(notes: SampleNotes, file: str, source: Any, plan: Plan, micros: Micros) -> None:
    name = source.period_of(file) if file and hasattr(source, "period_of") else ""
    if not name or not len(micros):
        return
    try:
        at = parse(plan.periods, name)
    except ValueError:
        return
    if at.start is None or at.end is None:
        return
    rows, out, first, last = notes.outside.get(file, [0, 0, int(micros.min()), int(micros.max())])
    out += int(((micros < at.start) | (micros >= at.end)).sum())
    notes.outside[file] = [rows + len(micros), out, min(first, int(micros.min())), max(last, int(micros.max()))]


def _outside(notes: SampleNotes) -> Iterator[str]:
    for file, (rows, out, first, last) in notes.outside.items():
        if out:
            yield f"{file}: {out:,} of {rows:,} rows lie outside its period; its times go from {_iso(first)} to {_iso(last)}"


def _periods(plan: Plan, instants: Micros) -> tuple[tuple[str, int], ...]:
    """Periods that have rows, with how many; one for those before period 0."""
    if not len(instants) or hasattr(plan.periods, "rows"):
        return ()
    at = np.sort(instants)
    counts, n = [], 0
    while n < len(at):
        index = index_at(plan.periods, int(at[n]))
        try:
            current = period(plan.periods, index) if index >= 0 else None
        except ValueError:  # it would end after the year 9999
            counts.append((BEYOND, len(at) - n))
            break
        end = (current.end if current else period(plan.periods, 0).start) or 0
        following = int(np.searchsorted(at, end))
        counts.append((current.name if current else "before", following - n))
        n = following
    return tuple(counts)


def _iso(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="seconds").replace("+00:00", "Z")
