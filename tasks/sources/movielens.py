"""MovieLens: the ratings of the GroupLens data sets as they are downloaded (Harper and Konstan 2015).

MovieTweetings (Dooms et al. 2013) is written the same way: its ratings.dat is that of MovieLens 1m with IMDb's numbers
as items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited
from nightloop.tasks.formats.select_files import list_files, midnight, plan_columns, rows_between_dates, rows_in_period
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
    """One file: u.data (100k), ratings.dat (1m, 10m, MovieTweetings) or ratings.csv (20m and later).

    The first two have no names of columns: call them user, item, rating and time in the plan. In the last they are
    userId, movieId, rating and timestamp. With `liked` there is a column `label` as well: 1 where the rating is at least
    that, else 0 (4.0 in ASMG, Peng et al. 2021). Ratings before the date `begin` and from the date `end` on are left out.
    """

    path: str
    liked: float | None = None
    begin: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        """Raise PlanError if the path is none of the files, or a date is none."""
        if not isinstance(self.path, str) or self.name not in DIALECTS:
            raise PlanError(f"movielens reads {', '.join(DIALECTS)}, plain or .gz, not {str(self.path)[:200]!r}")
        try:
            _ = [midnight(day) for day in (self.begin, self.end) if day]
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
        """The period's ratings. Raises FileNotFoundError if there is no file, ValueError where it is damaged."""
        files, wanted, bounded = list_files(warehouse, self.path), plan_columns(columns), bool(self.begin or self.end)
        if self.liked is not None:
            wanted = list(dict.fromkeys([*(name for name in wanted if name != LABEL), RATING]))
        timed = period.rows is None or bounded
        rows = read_delimited(warehouse, files, DIALECTS[self.name], columns, wanted, timed)
        rows = rows if self.liked is None else _labelled(rows, self.liked)
        return rows_in_period(rows_between_dates(rows, self.begin, self.end) if bounded else rows, period, self.path)


def _labelled(batches: Iterable[pa.RecordBatch], liked: float) -> Iterator[pa.RecordBatch]:
    """Rows with a `label`: whether the rating is at least `liked`; null where it is no number."""
    for batch in batches:
        ratings = batch.column(RATING)
        numbers = pc.if_else(pc.match_substring_regex(ratings, r"^\d+(\.\d+)?$"), ratings, None).cast(pa.float64())
        labels = pc.greater_equal(numbers, liked).cast(pa.int8()).cast(pa.string())
        yield batch.append_column(LABEL, labels)
