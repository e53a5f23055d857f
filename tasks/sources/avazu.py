"""Avazu: ten days of click logs of mobile advertising."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited
from nightloop.tasks.formats.select_files import list_files, require_path, rows_in_period
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

TIME = "hour"
HOURS = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Avazu:
    r"""Ten days of click logs of mobile advertising, from the files of Kaggle's "Click-Through Rate Prediction".

    A file is csv with the columns id, click, hour, C1, banner_pos, site_id, ... C21. `hour` is YYMMDDHH in UTC, so that
    all rows of an hour have one time; `id` tells them apart and belongs in the plan's `key`. No user is named: most
    rows have one anonymous `device_id`. `device_ip` is nearest to a user, `C14` to an advertisement. The source gives
    the file's columns, with `hour` as a time, and two that it makes from `hour`: `hour_of_day` (00 to 23) and `weekday`
    (1 is Monday).

    Parameters
    ----------
    path : str
        train.csv, plain or .gz, or several such files by `*` and `?`, at most 4,096 characters.

    Raises
    ------
    PlanError
        The path is no text, is empty or is too long.

    References
    ----------
    Avazu 2014, Click-through rate prediction (Kaggle).

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.avazu import Avazu
    >>> columns = Columns(user="device_ip", item="C14", time="hour", categorical=("hour_of_day", "weekday"))
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "ads") as warehouse:
    ...     _ = Path(folder, "train.csv").write_text("id,click,hour,device_ip,C14\n7,1,14102223,ddd2926e,15706")
    ...     [batch] = Avazu(f"{folder}/train.csv").batches(warehouse, period(Counts(rows=1), 0), columns)
    >>> batch.select(["C14", "hour", "hour_of_day", "weekday"]).to_pylist()
    [{'C14': '15706', 'hour': '2014-10-22T23:00:00.000000Z', 'hour_of_day': '23', 'weekday': '3'}]
    """

    path: str

    def __post_init__(self) -> None:
        """Raise PlanError if the path is not a possible one."""
        require_path("avazu", self.path, "train.csv or train.gz")

    def describe(self) -> str:
        """One line for people."""
        return f"Avazu's click logs in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError if there is no file, DataError if it has another format."""
        if columns.time != TIME:
            raise DataError(f"avazu's time is in the column {TIME!r}, and the plan's is {columns.time[:60]!r}")
        wanted = [name for name in columns.names if name not in ("hour_of_day", "weekday")]
        rows = read_delimited(warehouse, list_files(warehouse, self.path), Dialect(","), columns, wanted, False)
        return rows_in_period(_read_hours(rows), period, self.path)


def _read_hours(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows with YYMMDDHH read as a time; if it is not one, it stays text, which the lake puts into quarantine."""
    for batch in batches:
        hour = batch.column(TIME)
        whole = pc.match_substring_regex(hour, r"^\d{8}$")
        times = pc.strptime(pc.if_else(whole, hour, None), format="%y%m%d%H", unit="us", error_is_null=True)
        times = pc.assume_timezone(times, "UTC")
        words = pc.coalesce(pc.strftime(times, format="%Y-%m-%dT%H:%M:%SZ"), pc.binary_join_element_wise("?", hour, ""))
        made_columns = {
            TIME: words,
            "hour_of_day": pc.if_else(pc.is_valid(times), pc.utf8_slice_codeunits(hour, 6, 8), None),
            "weekday": pc.strftime(times, format="%u"),
            "_micros": times.cast(pa.int64()),
        }
        file_columns = {name: batch.column(name) for name in batch.schema.names if name not in made_columns}
        yield pa.RecordBatch.from_pydict({**file_columns, **made_columns})
