"""Adressa: reading events of a Norwegian newspaper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.json_lines import read_json_lines
from nightloop.tasks.formats.select_files import list_files, require_path, rows_in_period
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.periods import HOUR, Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns

ARTICLE = "id"


@dataclass(frozen=True)
class Adressa:
    r"""Reading events of a Norwegian newspaper, from the files of the Adressa data set.

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
    A reading event and a visit to the front page, which is left out.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.adressa import Adressa
    >>> columns = Columns(user="userId", item="id", time="time")
    >>> read, front = '{"userId": "cx:1", "id": "a1", "time": 1483257600}', '{"userId": "cx:1", "time": 1483257660}'
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "news") as warehouse:
    ...     _ = Path(folder, "20170101").write_text(f"{read}\n{front}")
    ...     [batch] = Adressa(f"{folder}/2017*").batches(warehouse, period(Counts(rows=2), 0), columns)
    >>> batch.select(["userId", "id", "time"]).to_pylist()
    [{'userId': 'cx:1', 'id': 'a1', 'time': '1483257600'}]
    """

    path: str

    def __post_init__(self) -> None:
        """Raise PlanError if the path is not a possible one."""
        require_path("adressa", self.path, "the day files, such as one_week/2017*")

    def describe(self) -> str:
        """One line for people."""
        return f"Adressa's reading events in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's events. Raises FileNotFoundError if there is no file, DataError if it has another format."""
        files = list_files(warehouse, self.path)
        near = [file for file in files if _is_near(file, period)]
        if not near:
            raise FileNotFoundError(f"no file of {self.path[:200]!r} is named by a date near period {period.name}")
        wanted = list(dict.fromkeys([*columns.names, ARTICLE]))
        return _read(read_json_lines(warehouse, near, columns, wanted, period.rows is None), period, near[0])


def _read(batches: Iterable[pa.RecordBatch], period: Period, file: str) -> Iterator[pa.RecordBatch]:
    """The period's events on articles, and the lines that could not be parsed."""
    for batch in rows_in_period(batches, period, file):
        yield batch.filter(pc.or_(pc.is_valid(batch.column(ARTICLE)), pc.is_valid(batch.column(LINE))))


def _is_near(file: str, period: Period) -> bool:
    """Whether a file named by its date may hold events of the period; its day may be that of Oslo or of a server."""
    named = re.search(r"(20\d\d)(\d\d)(\d\d)(?:\.\w+)*$", file)
    if named is None or period.start is None or period.end is None:
        return True
    try:
        day = date(*map(int, named.groups())).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return True
    return (day + 1) * 24 * HOUR + 12 * HOUR > period.start and day * 24 * HOUR - 12 * HOUR < period.end
