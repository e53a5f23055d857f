"""Reviews: those of Amazon and Yelp as they are downloaded, whatever a version calls its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited, split_fields
from nightloop.tasks.formats.file_head import first_lines
from nightloop.tasks.formats.json_lines import json_keys, read_json_lines
from nightloop.tasks.formats.select_files import list_files, require_path, rows_in_period
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

ROLES = ("user", "item", "rating", "time")
LAYOUTS = {
    "Amazon 2014 and 2018": ("reviewerID", "asin", "overall", "unixReviewTime"),
    "Amazon 2023": ("user_id", "parent_asin", "rating", "timestamp"),
    "Yelp": ("user_id", "business_id", "stars", "date"),
}
ASIN = re.compile(r"B[0-9A-Z]{9}|\d{9}[\dX]")  # Amazon's number of a product; a book's is its ISBN-10


@dataclass(frozen=True)
class Reviews:
    """Reviews of Amazon and Yelp as they are downloaded, whatever a version calls its columns.

    The columns are user, item, rating and time in every version; all others have the files' names. The files are:

    - Amazon 2014 and 2018: JSON lines with reviewerID, asin, overall, unixReviewTime (s), or "ratings only" csv
      without a header, user first in 2014 and item first in 2018;
    - Amazon 2023: JSON lines or csv with user_id, parent_asin, rating, timestamp (ms);
    - Yelp Open Dataset: JSON lines of yelp_academic_dataset_review.json with user_id, business_id, stars, date (text,
      read as UTC).

    Parameters
    ----------
    path : str
        Review files by `*` and `?`, plain or .gz, at most 4,096 characters. A file that ends in .csv or .csv.gz is csv,
        any other holds JSON lines.

    Raises
    ------
    PlanError
        The path is no text, is empty or is too long.

    References
    ----------
    McAuley et al. 2015, Image-based recommendations on styles and substitutes (Amazon 2014). Ni et al. 2019, Justifying
    recommendations using distantly-labeled reviews and fine-grained aspects (Amazon 2018). Hou et al. 2024, Bridging
    language and items for retrieval and recommendation (Amazon 2023). Yelp Open Dataset.

    Examples
    --------
    A "ratings only" file of 2018, which has no header and names the item first.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.reviews import Reviews
    >>> columns = Columns(user="user", item="item", time="time", numeric=("rating",))
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "books") as warehouse:
    ...     _ = Path(folder, "Books.csv").write_text("0000013714,A2SUAM1J3GNN3B,5.0,1252800000")
    ...     [batch] = Reviews(f"{folder}/Books.csv").batches(warehouse, period(Counts(rows=1), 0), columns)
    >>> batch.select(["user", "item", "rating", "time"]).to_pylist()
    [{'user': 'A2SUAM1J3GNN3B', 'item': '0000013714', 'rating': '5.0', 'time': '1252800000'}]
    """

    path: str

    def __post_init__(self) -> None:
        """Raise PlanError if the path is not a possible one."""
        require_path("reviews", self.path, "review files of Amazon or Yelp")

    def describe(self) -> str:
        """One line for people."""
        return f"reviews in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's reviews. Raises FileNotFoundError if there is no file, DataError if it holds something else."""
        files, timed = list_files(warehouse, self.path), period.rows is None
        rows = (batch for file in files for batch in _read(warehouse, file, columns, timed))
        return rows_in_period(rows, period, self.path)


def _read(warehouse: Warehouse, file: str, columns: Columns, timed: bool) -> Iterator[pa.RecordBatch]:
    """One file's reviews, its columns renamed."""
    csv = file.lower().removesuffix(".gz").endswith(".csv")
    line = split_fields(first_lines(warehouse, file)[0], ",") if csv else []
    headless = _headless(line)
    layout = ROLES if headless else _layout(file, line or json_keys(warehouse, file))
    theirs = dict(zip(ROLES, layout, strict=True))
    file_roles = columns.model_copy(update={"time": theirs.get(columns.time, columns.time)})
    wanted = list(dict.fromkeys(theirs.get(name, name) for name in columns.names))
    if csv:
        rows = read_delimited(warehouse, [file], Dialect(",", "utf-8", headless), file_roles, wanted, timed)
    else:
        rows = read_json_lines(warehouse, [file], file_roles, wanted, timed)
    ours = {theirs[name]: name for name in columns.names if name in theirs}
    for batch in rows:
        yield batch.rename_columns([ours.get(name, name) for name in batch.schema.names])


def _layout(file: str, names: list[str]) -> tuple[str, ...]:
    """What the file calls user, item, rating and time. Raises DataError if it has no layout that is known."""
    for layout in LAYOUTS.values():
        if {*layout} <= {*names}:
            return layout
    layouts = "; ".join(f"{name} has {', '.join(layout)}" for name, layout in LAYOUTS.items())
    shown = ", ".join(repr(name[:60]) for name in names[:20])
    raise DataError(f"{file} holds no reviews that are known: its columns are {shown}. {layouts}. Try the source files")


def _headless(line: list[str]) -> tuple[str, ...]:
    """The columns of a "ratings only" line, recognised by its ASIN; none if the line is something else."""
    if len(line) != len(ROLES) or not re.fullmatch(r"\d+(\.\d+)?", line[3]):
        return ()
    if ASIN.fullmatch(line[1]):
        return ROLES
    return ("item", "user", "rating", "time") if ASIN.fullmatch(line[0]) else ()
