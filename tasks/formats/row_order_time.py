"""Times for logs that have an order but no times, and groups for logs that have no users.

The times are made up and keep only the order: row n of a file is put n / `rows_a_day` days after the
file's first midnight (UTC). Nothing else can be known of data sets that were published without times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.select_files import midnight_of
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.plan.bounds import is_whole
from nightloop.tasks.plan.errors import DataError

Ints = npt.NDArray[np.int64]
DAY = 86_400_000_000  # µs
MADE = ("time", "row", "group", "everything")  # the columns that are made up


@dataclass(frozen=True)
class Positions:
    """Times and groups from positions: `first_day` is an ISO date, `groups` the number of groups that rows are spread over."""

    first_day: str
    rows_a_day: int
    groups: int = 1000

    def __post_init__(self) -> None:
        """Raise DataError with every option that is out of range."""
        wrong = []
        try:
            midnight_of(self.first_day)
        except (TypeError, ValueError):
            wrong.append(f"first_day is {self.first_day!r:.60}, must be a date such as 2000-01-01")
        if not is_whole(self.rows_a_day, DAY):
            wrong.append(f"rows_a_day is {self.rows_a_day!r:.60}, must be a whole number from 1 to {DAY:,}")
        if not is_whole(self.groups, 1 << 30):
            wrong.append(f"groups is {self.groups!r:.60}, must be a whole number from 1")
        if wrong:
            raise DataError("; ".join(wrong))

    def midnight(self, day: int) -> int:
        """First µs (UTC) of day `day`; 0 is the first."""
        return midnight_of(self.first_day) + day * DAY

    def put(
        self,
        batches: Iterable[pa.RecordBatch],
        name: str,
        day: int = 0,
        end: int | None = None,
        most: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `batches`, in their order, with `time` and `_micros` (µs, UTC), `row` (`name`:position), `group`
        (position modulo `groups`) and `everything` (one word), up to the time `end`.

        Lines that could not be parsed have no time. Raises DataError if there are more than `most` rows.
        """
        position = 0
        for batch in batches:
            numbers = np.arange(position, position + batch.num_rows)
            position += batch.num_rows
            if most is not None and position > most and LINE not in batch.schema.names:
                raise DataError(f"{name} has more than {most:,} rows, and a file is a day: give a larger `rows_a_day`")
            micros = self.micros(numbers, day)
            yield _with(batch, numbers, micros, name, self.groups)
            if end is not None and len(micros) and micros[-1] >= end:
                return

    def micros(self, numbers: Ints, day: int) -> Ints:
        """The times (µs) of the rows at the positions `numbers` [n] of a file that begins on day `day`."""
        days, rest = np.divmod(numbers, self.rows_a_day)
        return np.asarray(self.midnight(day) + days * DAY + np.floor(rest * (DAY / self.rows_a_day)).astype(np.int64))


def _with(batch: pa.RecordBatch, numbers: Ints, micros: Ints, name: str, groups: int) -> pa.RecordBatch:
    """The batch with what its positions give; null for a line that could not be parsed."""
    good = pc.is_null(batch.column(LINE)) if LINE in batch.schema.names else pa.array(np.ones(len(numbers), dtype=bool))
    times = pc.if_else(good, pa.array(micros), None)
    texts = pa.array(numbers).cast(pa.string())
    made_columns = {
        "time": times.cast(pa.timestamp("us", tz="UTC")),
        "row": pc.if_else(good, pc.binary_join_element_wise(name, texts, ":"), None),
        "group": pc.if_else(good, pa.array(numbers % groups).cast(pa.string()), None),
        "everything": pc.if_else(good, "everything", pa.scalar(None, pa.string())),
    }
    file_columns = {n: batch.column(n) for n in batch.schema.names if n not in (*MADE, "_micros")}
    return pa.RecordBatch.from_pydict({**file_columns, **made_columns, "_micros": times})
