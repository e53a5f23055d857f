"""Adressa: reading events of a Norwegian newspaper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.json_lines import read_json_lines
from nightloop.tasks.formats.select_files import list_files, plan_columns, rows_in_period
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.periods import HOUR, Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Columns

ARTICLE = "id"


@dataclass(frozen=True)
class Adressa:
    """Reading events of a Norwegian newspaper, from the files of the Adressa data set.

    The files hold JSON lines, one file a day, and are named by date without an ending (one_week/20170101,
    three_month/20170101). An event has eventId, userId, time (seconds UTC) and url; an event on an article also has the
    article's `id`, title, category and more. The columns have the files' names: the user is `userId`, the item `id`,
    the time `time`. Events without an `id` are visits to the front page and are left out. Of files named by date only
    those near the period are opened.

    Parameters
    ----------
    path : str
        The day files, such as `three_month/2017*`, plain or .gz, at most 4,096 characters.

    Raises
    ------
    PlanError
        The path is no text, is empty or is too long.

    References
    ----------
    Gulla et al. 2017, The Adressa dataset for news recommendation.

    Examples
    --------
    >>> from nightloop.tasks.plan.plan import Part
    >>> from nightloop.tasks.sources import build
    >>> source = build(Part(use="adressa", options={"path": "data/adressa/three_month/2017*"}))
    >>> source.describe()
    "Adressa's reading events in data/adressa/three_month/2017*"
    """

    path: str

    def __post_init__(self) -> None:
        """Raise PlanError if the path is not a possible one."""
        if not isinstance(self.path, str) or not 0 < len(self.path) <= 4096:
            raise PlanError("adressa needs `path`, of at most 4,096 characters: the day files, such as one_week/2017*")

    def describe(self) -> str:
        """One line for people."""
        return f"Adressa's reading events in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's events. Raises FileNotFoundError if there is no file, DataError if it has another format."""
        files = list_files(warehouse, self.path)
        near = [file for file in files if _near(file, period)]
        if not near:
            raise FileNotFoundError(f"no file of {self.path[:200]!r} is named by a date near period {period.name}")
        wanted = list(dict.fromkeys([*plan_columns(columns), ARTICLE]))
        return _read(read_json_lines(warehouse, near, columns, wanted, period.rows is None), period, near[0])


def _read(batches: Iterable[pa.RecordBatch], period: Period, file: str) -> Iterator[pa.RecordBatch]:
    """The period's events on articles, and the lines that could not be parsed."""
    for batch in rows_in_period(batches, period, file):
        yield batch.filter(pc.or_(pc.is_valid(batch.column(ARTICLE)), pc.is_valid(batch.column(LINE))))


def _near(file: str, period: Period) -> bool:
    """Whether a file named by its date may hold events of the period; its day may be that of Oslo or of a server."""
    named = re.search(r"(20\d\d)(\d\d)(\d\d)(?:\.\w+)*$", file)
    if named is None or period.start is None or period.end is None:
        return True
    try:
        day = date(*map(int, named.groups())).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return True
    return (day + 1) * 24 * HOUR + 12 * HOUR > period.start and day * 24 * HOUR - 12 * HOUR < period.end
