"""Date order: whether the month or the day comes first in dates such as 03/04/2024 9:05 AM, decided once for all files of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

SLASHED = r"^\s*(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})/[0-9]{4} .*[AaPp][Mm]\s*$"  # what is read without a `time_format`
MONTHS = 12


@dataclass
class SlashedDates:
    """One date of each kind among those that were met, as it is written; empty: none was met."""

    month_first: str = ""
    day_first: str = ""
    unclear: str = ""

    def note(self, batch: pa.RecordBatch, time: str) -> None:
        """Note the dates in the column `time` of a batch."""
        values = flat_column(batch, time)
        if not pa.types.is_string(values.type) or not pc.any(pc.match_substring(values, "/")).as_py():
            return
        parts = pc.extract_regex(values, SLASHED)
        first, second = (pc.struct_field(parts, name).cast(pa.int8()) for name in ("first", "second"))
        late_first, late_second = pc.greater(first, MONTHS), pc.greater(second, MONTHS)
        neither = pc.invert(pc.or_(late_first, late_second))
        self.month_first = self.month_first or _example(values, late_second)
        self.day_first = self.day_first or _example(values, late_first)
        self.unclear = self.unclear or _example(values, pc.and_(neither, pc.not_equal(first, second)))


def with_clear_dates(
    batches: Iterable[pa.RecordBatch], columns: Columns, sample: Callable[[], Iterable[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """The same batches. `sample`: rows of other files of the source, which are looked at if dates can be read in two ways.

    Raises DataError if no date of these rows or the sample has a day above 12 as its second number, or one has it as its first.
    """
    found, looked = SlashedDates(), "%" in columns.time_writing
    for batch in batches:
        if "%" not in columns.time_writing:
            found.note(batch, columns.time)
        if found.unclear and not looked:
            looked = True
            for other in sample():
                found.note(other, columns.time)
        if found.unclear and (found.day_first or not found.month_first):
            raise DataError(_message(found, columns.time))
        yield batch


def _example(values: pa.Array, which: pa.Array) -> str:
    rows = values.filter(pc.fill_null(which, False))
    return str(rows[0])[:60].strip() if len(rows) else ""


def _message(found: SlashedDates, time: str) -> str:
    clock = "%I:%M:%S %p" if found.unclear.count(":") > 1 else "%I:%M %p"
    formats = f"time_format: '%d/%m/%Y {clock}' if the day comes first, '%m/%d/%Y {clock}' if the month does"
    if found.day_first and found.month_first:
        why = f"{found.day_first!r} has the day first and {found.month_first!r} the month: write all in one way, such as 2026-01-31 09:05"
    elif found.day_first:
        why = f"in {found.day_first!r} the day comes first. Say so in the plan's `columns`: time_format: '%d/%m/%Y {clock}'"
    else:
        why = (
            "no date of the sample has a day above 12, so nothing shows which number is the month. Say it in the plan's `columns`: "
            f"{formats}"
        )
    return f"the times of the column {time[:60]!r} can be read in two ways, such as {found.unclear!r}: {why}"
