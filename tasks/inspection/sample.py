"""A sample: rows of the first, a middle and the newest file of a source, read as a night reads them, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import SecretStr

from nightloop.tasks.inspection.other_columns import OtherColumn, other_columns
from nightloop.tasks.inspection.sample_columns import (
    DayCount,
    NumberSpread,
    RepeatCount,
    TextKind,
    count_repeats,
    day_counts,
    number_spreads,
    text_kinds,
)
from nightloop.tasks.inspection.sample_notes import Micros, SampleNotes, in_iso, list_outside, take_notes
from nightloop.tasks.inspection.sample_relations import find_relations
from nightloop.tasks.lake.ingest import read_until_complete
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.periods import Period, index_at, period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.validation.gx import EarlierNights, import_in_background, validate_period
from nightloop.tasks.validation.result import Validation

MOST = 100_000  # rows of a sample
BEYOND = "after the last one of the calendar"
HOUR = 3_600_000_000  # µs
WHOLE = Period(0, "the sample", None, None)  # no calendar: times are compared with the periods here


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
    repeats: RepeatCount
    others: tuple[OtherColumn, ...]  # columns of the newest file, or of a table, that the plan does not use
    labels: tuple[tuple[float, int], ...]  # each with its rows
    verdict: Validation
    outside: tuple[str, ...]  # files whose rows lie in other periods than their name says, in words
    relations: tuple[str, ...]  # what is wrong between columns and between files, in words

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
    few = (
        dict.fromkeys(files[n] for n in (0, len(files) // 2, -2, -1) if n != -2 or _have_one_period(source, files))
        if files
        else {}
    )
    read = tuple(few if most else files)
    notes = SampleNotes()

    def land_sample() -> None:
        vars(notes).update(vars(SampleNotes()))
        rows = _rows(warehouse, plan, source, read, most, notes)
        land(warehouse, WHOLE, take_notes(rows, plan, source, notes), plan.columns)

    read_until_complete(warehouse, land_sample)
    times = warehouse.query("ingest/sample_times").column("micros").to_numpy()
    labels = warehouse.query("ingest/sample_labels").to_pylist() if plan.columns.label else []
    return Sample(
        files=len(files), read=read, notes=notes, periods=_periods(plan, times),
        span=(in_iso(int(times.min())), in_iso(int(times.max()))) if len(times) else None,
        hours=tuple(np.bincount(times // HOUR % 24, minlength=24).tolist()),
        texts=text_kinds(warehouse, plan.columns), numbers=number_spreads(warehouse, plan.columns),
        days=day_counts(warehouse), repeats=count_repeats(warehouse),
        others=other_columns(warehouse, source, read[-1] if read else "", plan),
        labels=tuple((row["label"], row["rows"]) for row in labels), verdict=validate_period(warehouse, plan, WHOLE, 1, EarlierNights()),
        outside=tuple(list_outside(notes)),
        relations=find_relations(warehouse, plan.columns, {file: notes.places[file] for file in few if file in notes.places}),
    )  # fmt: skip


def _have_one_period(source: Any, files: list[str]) -> bool:
    """Whether the last two files are of one period, as those of two programs are."""
    name = source.period_of(files[-1]) if len(files) > 1 and hasattr(source, "period_of") else ""
    return bool(name) and source.period_of(files[-2]) == name


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
