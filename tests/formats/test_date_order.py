"""Date order: 03/04/2024 9:05 AM is read only if other dates of the source show which number is the month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import lake, plan
from tests.sources.corpus import csv, jsonl, parquet

COLUMNS = Columns(user="user", item="item", time="time")
MONTHS = Calendar(every="month", start="2026-01-01")
UNCLEAR, DAY, MONTH = "03/04/2026 9:05:58 AM", "25/04/2026 9:05:58 AM", "04/25/2026 9:05:58 AM"


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("orders")) as warehouse:
        yield warehouse


def deliver(path: Path, *times: str) -> None:
    rows = [{"user": f"u{n}", "item": n, "time": time} for n, time in enumerate(times)]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    text = "user,item,time\n" + "".join(f"{','.join(map(str, row.values()))}\n" for row in rows)
    path.write_bytes({".csv": csv(text), ".jsonl": jsonl(*rows), ".parquet": parquet(**table)}[path.suffix])


def times_of(pond: Warehouse, source: Files, month: int, columns: Columns = COLUMNS) -> list[datetime]:
    landing = land_period(pond, source, plan(columns, MONTHS), period(MONTHS, month - 1))
    found = "SELECT time FROM logs WHERE period = $1 AND version = $2 ORDER BY arrival"
    return [time for (time,) in pond.connection.execute(found, [month - 1, landing.version]).fetchall()]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_dates_that_can_be_read_in_two_ways_are_refused_unless_a_file_shows_their_order(
    pond: Warehouse, tmp_path: Path, ending: str
) -> None:
    """pandas 19402, wealthfolio 1601, csv-detective 268: 03/04/2026 was the 4th of March, whatever the other dates were."""
    deliver(tmp_path / f"2026-01.{ending}", "01/01/2026 9:05 AM", "1/1/2026 9:05 AM")
    deliver(tmp_path / f"2026-03.{ending}", UNCLEAR, UNCLEAR)
    for path in ("*", "{period}"):
        source = Files(f"{tmp_path}/{path}.{ending}")
        assert path == "*" or len(times_of(pond, source, 1)) == 2  # whichever number is the month
        with pytest.raises(
            ValueError, match=rf"in two ways, such as '{UNCLEAR}'.* no date of the sample .*'%m/%d/%Y %I:%M:%S %p'"
        ):
            times_of(pond, source, 3)
        deliver(tmp_path / f"2026-04.{ending}", MONTH)
        assert times_of(pond, source, 3) == [datetime(2026, 3, 4, 9, 5, 58, tzinfo=UTC)] * 2
        deliver(tmp_path / f"2026-04.{ending}", DAY)
        with pytest.raises(
            ValueError, match=rf"in '{DAY}' the day comes first. Say so .* time_format: '%d/%m/%Y %I:%M:%S %p'$"
        ):
            times_of(pond, source, 3)
        deliver(tmp_path / f"2026-04.{ending}", DAY, MONTH)
        with pytest.raises(
            ValueError, match=rf"'{DAY}' has the day first and '{MONTH}' the month: write all in one way"
        ):
            times_of(pond, source, 3)
        given = COLUMNS.model_copy(update={"time_format": "%d/%m/%Y %I:%M:%S %p"})
        deliver(tmp_path / f"2026-04.{ending}", DAY, UNCLEAR)
        assert datetime(2026, 4, 3, 9, 5, 58, tzinfo=UTC) in times_of(pond, source, 4, given)
        (tmp_path / f"2026-04.{ending}").unlink()


def test_a_date_that_shows_the_other_order_is_found_wherever_it_stands(pond: Warehouse, tmp_path: Path) -> None:
    deliver(tmp_path / "a.csv", MONTH, *([UNCLEAR] * 50_000), DAY)
    with pytest.raises(ValueError, match="has the day first and"):
        times_of(pond, Files(f"{tmp_path}/a.csv"), 4)
    (tmp_path / "a.csv").rename(tmp_path / "2026-04.csv")
    deliver(tmp_path / "2026-04.csv", MONTH, UNCLEAR)
    (tmp_path / "2026-02.csv").write_bytes(b"user,item\n1,2\n")  # a file of another period that cannot be read
    assert len(times_of(pond, Files(f"{tmp_path}/{{period}}.csv"), 4)) == 2
