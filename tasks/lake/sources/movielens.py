"""MovieLens: the ratings of the GroupLens data sets as they are downloaded (Harper and Konstan 2015).

MovieTweetings (Dooms et al. 2013) is written the same way: its ratings.dat is that of MovieLens 1m with IMDb's numbers
as items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from tasks.lake.delimited import Dialect, read_delimited
from tasks.lake.finding import chosen, found, roles
from tasks.lake.periods import Period
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Columns

NAMES = ("user", "item", "rating", "time")
DIALECTS = {
    "u.data": Dialect("\t", "utf-8", NAMES),  # 100k
    "ratings.dat": Dialect("::", "utf-8", NAMES),  # 1m, 10m, MovieTweetings
    "ratings.csv": Dialect(","),  # 20m, 25m, 32m: userId, movieId, rating, timestamp
}


@dataclass(frozen=True)
class MovieLens:
    """One file: u.data (100k), ratings.dat (1m, 10m, MovieTweetings) or ratings.csv (20m and later).

    The first two have no names of columns: call them user, item, rating and time in the plan. In the last they are
    userId, movieId, rating and timestamp.
    """

    path: str

    def __post_init__(self) -> None:
        """Raise ValueError where the path is none of the files."""
        if not isinstance(self.path, str) or self.name not in DIALECTS:
            raise ValueError(f"movielens reads {', '.join(DIALECTS)}, plain or .gz, not {str(self.path)[:200]!r}")

    @property
    def name(self) -> str:
        """The file's name, which says how it is written."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".gz")

    def describe(self) -> str:
        """One line for people."""
        return f"MovieLens ratings in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's ratings. Raises FileNotFoundError where there is no file, ValueError where it is damaged."""
        files = found(warehouse, self.path)
        return chosen(
            read_delimited(warehouse, files, DIALECTS[self.name], columns, roles(columns), period.rows is None),
            period,
            self.path,
        )
