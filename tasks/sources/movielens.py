"""MovieLens: the ratings of the GroupLens data sets as they are downloaded, and MovieTweetings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited
from nightloop.tasks.formats.select_files import (
    list_files,
    midnight_of,
    rows_between_dates,
    rows_in_period,
)
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Columns

RATING, LABEL = "rating", "label"
NAMES = ("user", "item", RATING, "time")
DIALECTS = {
    "u.data": Dialect("\t", "utf-8", NAMES),  # 100k
    "ratings.dat": Dialect("::", "utf-8", NAMES),  # 1m, 10m, MovieTweetings
    "ratings.csv": Dialect(","),  # 20m, 25m, 32m: userId, movieId, rating, timestamp
}


@dataclass(frozen=True)
class MovieLens:
    """The ratings of the GroupLens data sets as they are downloaded, and MovieTweetings.

    A file is u.data (100k), ratings.dat (1m, 10m, MovieTweetings with IMDb's numbers as items) or ratings.csv (20m and
    later), plain or .gz. The first two have no names of columns: call them user, item, rating and time in the plan. In
    the last they are userId, movieId, rating and timestamp.

    Parameters
    ----------
    path : str
        One file. Its name says how it is written.
    liked : float, optional
        If it is given, there is also a column `label`: 1 if the rating is at least `liked`, else 0. 4.0 in ASMG.
    begin : str, default ""
        Ratings before this date (UTC) are left out. Empty: none are.
    end : str, default ""
        Ratings from this date (UTC) on are left out. Empty: none are.

    Raises
    ------
    PlanError
        The path names none of the files, or a date is not one.

    References
    ----------
    Harper and Konstan 2015, The MovieLens datasets: history and context. Dooms et al. 2013, MovieTweetings: a movie
    rating dataset collected from Twitter. Peng et al. 2021, Learning an adaptive meta model-generator for incrementally
    updating recommender systems.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.movielens import MovieLens
    >>> columns = Columns(user="user", item="item", time="time", label="label")
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "films") as warehouse:
    ...     _ = Path(folder, "ratings.dat").write_text("1::1193::5::978300760")
    ...     source = MovieLens(f"{folder}/ratings.dat", liked=4.0)
    ...     [batch] = source.batches(warehouse, period(Counts(rows=1), 0), columns)
    >>> batch.select(["user", "item", "rating", "label"]).to_pylist()
    [{'user': '1', 'item': '1193', 'rating': '5', 'label': '1'}]
    """

    path: str
    liked: float | None = None
    begin: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        """Raise PlanError if the path is none of the files, or a date is not one."""
        if not isinstance(self.path, str) or self.name not in DIALECTS:
            raise PlanError(f"movielens reads {', '.join(DIALECTS)}, plain or .gz, not {str(self.path)[:200]!r}")
        try:
            _ = [midnight_of(day) for day in (self.begin, self.end) if day]
        except (TypeError, ValueError) as error:
            raise PlanError(
                f"begin is {self.begin!r:.60} and end {self.end!r:.60}: give dates such as 2014-01-01"
            ) from error

    @property
    def name(self) -> str:
        """The file's name, which says how it is written."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".gz")

    def describe(self) -> str:
        """One line for people."""
        return f"MovieLens ratings in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's ratings. Raises FileNotFoundError if there is no file, DataError if it is damaged."""
        files, wanted, bounded = list_files(warehouse, self.path), columns.names, bool(self.begin or self.end)
        if self.liked is not None:
            wanted = list(dict.fromkeys([*(name for name in wanted if name != LABEL), RATING]))
        timed = period.rows is None or bounded
        rows = read_delimited(warehouse, files, DIALECTS[self.name], columns, wanted, timed)
        rows = rows if self.liked is None else _labelled(rows, self.liked)
        return rows_in_period(rows_between_dates(rows, self.begin, self.end) if bounded else rows, period, self.path)


def _labelled(batches: Iterable[pa.RecordBatch], liked: float) -> Iterator[pa.RecordBatch]:
    """Rows with a `label`: whether the rating is at least `liked`; null if it is not a number."""
    for batch in batches:
        ratings = batch.column(RATING)
        numbers = pc.if_else(pc.match_substring_regex(ratings, r"^\d+(\.\d+)?$"), ratings, None).cast(pa.float64())
        labels = pc.greater_equal(numbers, liked).cast(pa.int8()).cast(pa.string())
        yield batch.append_column(LABEL, labels)
