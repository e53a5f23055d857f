"""Sample notes: what is recorded of rows while they are read: times, ids and numbers as written, and where each file begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.periods import EPOCH, parse
from nightloop.tasks.lake.values import as_text
from nightloop.tasks.plan.plan import Plan

SEVERAL = r"[|]|^\s*\["  # what a text has that holds several values: | between them, or a list of JSON
POINTED = r"^\s*-?[0-9]*[.][0-9]*\s*$"  # a number with a point
CLOCK = ":[0-9]{2}"  # what a time has
# Of a time, and a year after it.
OFFSET = r"(?:[Zz]|(?:UTC|GMT)(?:[+-][0-9:]+)?|[A-Za-z]/[A-Z][\w+-]+|:[0-9.,]+\s*[+-][0-9]{2}(?::?[0-9]{2})?)(?: [0-9]{4})?\s*$"
THOUSANDS = r"^\s*-?[1-9][0-9]{0,2}[.][0-9]{3}\s*$"  # a number whose point may separate thousands
EXAMPLES = 3  # of ids and times

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


def take_notes(
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
            noted.setdefault(time or text, "no time" if at is None else in_iso(at))


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


def list_outside(notes: SampleNotes) -> Iterator[str]:
    """Files whose rows lie in other periods than their name says, in words."""
    for file, (rows, out, first, last) in notes.outside.items():
        if out:
            yield f"{file}: {out:,} of {rows:,} rows lie outside its period; its times go from {in_iso(first)} to {in_iso(last)}"


def in_iso(micros: int) -> str:
    """A time in µs since 1970, to the second."""
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="seconds").replace("+00:00", "Z")
