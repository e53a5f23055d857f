"""Criteo: click logs of display advertising, seven days (Kaggle) or 24 (the terabyte)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited
from nightloop.tasks.formats.file_columns import check_columns
from nightloop.tasks.formats.row_order_time import DAY, MADE, Positions
from nightloop.tasks.formats.select_files import list_files, require_path, rows_in_period
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

NAMES = ("label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27)))
DIALECT = Dialect("\t", "utf-8", NAMES)
KAGGLE = 6_548_660  # 45,840,617 rows of train.txt in seven days


@dataclass(frozen=True)
class Criteo:
    r"""Click logs of display advertising, from the files of the Kaggle challenge (7 days) or the terabyte (24 days).

    A line is the label, 13 integers and 26 categories hashed to 32 bits, between tabs and without a header; an empty
    field is a missing value. The columns are called label, I1 .. I13 and C1 .. C26.

    **The data set names no user, no item and no time**; rows stand in the order of time. So that a plan can name them,
    the source makes `time` from the position of a row (see `nightloop.tasks.formats.row_order_time`), `row` (file and
    position, for the plan's `key`), and two columns that say nothing: `group`, the row number modulo `groups`, which
    serves as the user when the gate resamples users, and `everything`, one constant item. Slices of new and old users
    and items therefore mean nothing here. A real category may be named as the item instead, if it is never empty.

    Parameters
    ----------
    path : str
        train.txt, or day files as `day_*` (day_0 to day_23), plain or .gz. A file whose name ends in a number is that
        day after `first_day`. One file alone continues from day to day.
    first_day : str, default "2000-01-01"
        Date of the first day. It is made up; give the same date in the plan's `periods`.
    rows_a_day : int, default 6548660
        Rows of a day. The default is a seventh of train.txt. Of several day files it is the most rows that a file may
        have; the terabyte has 182 million a day on average.
    groups : int, default 1000
        Number of groups that stand in for users.

    Raises
    ------
    PlanError
        The path is no text, is empty or is too long.
    DataError
        Another option is out of range.

    References
    ----------
    Criteo Labs 2014, Display advertising challenge (Kaggle). Criteo Labs 2015, Criteo 1TB click logs.

    Examples
    --------
    With 48 rows a day, the second row is at half past midnight.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.criteo import Criteo
    >>> columns = Columns(user="group", item="everything", time="time", label="label", key=("row",))
    >>> line = "\t".join(["1", *["7"] * 13, *["68fd1e64"] * 26])
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "ads") as warehouse:
    ...     _ = Path(folder, "train.txt").write_text(f"{line}\n{line}")
    ...     source = Criteo(f"{folder}/train.txt", rows_a_day=48)
    ...     [batch] = source.batches(warehouse, period(Counts(rows=2), 0), columns)
    >>> batch.column("time")[1].as_py().isoformat(), batch.column("row")[1].as_py(), batch.column("group")[1].as_py()
    ('2000-01-01T00:30:00+00:00', 'train.txt:1', '1')
    """

    path: str
    first_day: str = "2000-01-01"
    rows_a_day: int = KAGGLE
    groups: int = 1000

    def __post_init__(self) -> None:
        """Raise PlanError or DataError if an option is out of range."""
        require_path("criteo", self.path, "train.txt, or day_*")
        _ = self.positions

    @property
    def positions(self) -> Positions:
        """The clock that makes times from positions."""
        return Positions(self.first_day, self.rows_a_day, self.groups)

    def describe(self) -> str:
        """One line for people."""
        return f"Criteo's click logs in {self.path}, with times made up from positions, from {self.first_day}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError if there is no file, DataError if it has another format."""
        files = _days(list_files(warehouse, self.path))
        check_columns(self.path, (*NAMES, *MADE), columns.names)
        return rows_in_period(self._rows(warehouse, files, period, columns), period, self.path)

    def _rows(
        self, warehouse: Warehouse, files: dict[int, str], period: Period, columns: Columns
    ) -> Iterator[pa.RecordBatch]:
        clock, wanted = self.positions, [name for name in columns.names if name in NAMES] or ["label"]
        file_roles = columns.model_copy(update={"time": wanted[0]})  # of the columns that the files have
        for day, file in sorted(files.items()):
            begins, single = clock.midnight(day), len(files) == 1
            early = period.start is not None and not single and begins + DAY <= period.start
            if early or (period.end is not None and begins >= period.end):
                continue
            rows = read_delimited(warehouse, [file], DIALECT, file_roles, wanted, False)
            name = file.replace("\\", "/").rsplit("/", 1)[-1]
            yield from clock.put(rows, name, day, period.end, None if single else self.rows_a_day)


def _days(files: list[str]) -> dict[int, str]:
    """Files by the number that their names end in; 0 if there is none. Raises DataError if two are the same day."""
    days: dict[int, str] = {}
    for file in files:
        number = re.search(r"[_-](\d{1,4})(?:\.\w+)*$", file)
        day = int(number.group(1)) if number else 0
        if day in days:
            raise DataError(f"{days[day]} and {file} would both be day {day}: let `path` name day files alone")
        days[day] = file
    return days
