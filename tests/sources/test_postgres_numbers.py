"""Numbers of PostgreSQL that are none: DuckDB reads NaN and infinity in a column NUMERIC as 0 (duckdb 23971, pg_duckdb 1069)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Calendar, Columns, Counts
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.database import Database
from tests.postgres_server import Postgres, running_postgres

DAY = period(Calendar(start="2026-01-01"), 0)
ALL = period(Counts(rows=10), 0)
COLUMNS = Columns(user="who", item="it's", time="at", numeric=("price",))
PASSWORD = "hunter2hunter"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres(password=PASSWORD) as server:
        yield server


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with Warehouse.open(Settings(home=tmp_path / "home"), "shop") as warehouse:
        yield warehouse


def source(server: Postgres, kinds: str, *rows: str, time: str = "TIMESTAMP") -> Database:
    table = f'DROP TABLE IF EXISTS plays CASCADE; CREATE TABLE plays (who {kinds}, "it\'s" {kinds}, price {kinds}, at {time})'
    values = ", ".join(f"({row})" for row in rows)
    server.run("psql", "-c", table, "-c", "INSERT INTO plays VALUES " + values)  # noqa: S608
    return Database("postgres", f"host=127.0.0.1 port={server.port} user={server.user} dbname=postgres", "plays")


@pytest.mark.parametrize("kinds", ["NUMERIC(20, 0)", "NUMERIC"])
@pytest.mark.parametrize("name", ["who", "it's", "price"])
def test_a_number_that_would_be_0_is_refused(postgres: Postgres, lake: Warehouse, kinds: str, name: str) -> None:
    bad = ", ".join("'NaN'" if column == name else "7" for column in ("who", "it's", "price"))
    plays = source(postgres, kinds, "1, 2, 3, '2026-01-01 10:00'", f"{bad}, '2026-01-01 11:00'")
    for span in (DAY, ALL):
        with pytest.raises(DataError, match=f"table plays: the column .{name}. holds NaN, which would be read as 0"):
            [*plays.batches(lake, span, COLUMNS)]


def test_infinity_would_be_0_too(postgres: Postgres, lake: Warehouse) -> None:
    plays = source(postgres, "NUMERIC", "1, 2, '-Infinity', '2026-01-01 10:00'")
    with pytest.raises(DataError, match="'price' holds -Infinity"):
        [*plays.batches(lake, DAY, COLUMNS)]


def test_a_number_of_another_day_and_one_that_a_view_mends_are_no_hindrance(
    postgres: Postgres, lake: Warehouse
) -> None:
    plays = source(postgres, "NUMERIC(20, 0)", "1, 2, 3, '2026-01-01 10:00'", "4, 5, 'NaN', '2026-01-02 00:00'")
    (batch,) = plays.batches(lake, DAY, COLUMNS)
    assert batch.to_pylist()[0]["price"] == 3 and batch.num_rows == 1
    view = """CREATE VIEW mended AS SELECT who, "it's", NULLIF(price, 'NaN') AS price, at FROM plays"""
    postgres.run("psql", "-c", view)
    (batch,) = Database("postgres", plays.connection, "mended").batches(lake, ALL, COLUMNS)
    assert [row["price"] for row in batch.to_pylist()] == [3, None]


@pytest.mark.parametrize(
    ("time", "unit", "first", "last"),
    [
        ("TIMESTAMPTZ", "auto", "2026-01-01 01:00+01", "2026-01-02 00:00+00"),
        ("DATE", "auto", "2026-01-01", "2026-01-02"),
        ("BIGINT", "ms", "1767225600000", "1767312000000"),
    ],
)
def test_only_rows_of_the_day_are_asked_for(
    postgres: Postgres, lake: Warehouse, time: str, unit: str, first: str, last: str
) -> None:
    columns = Columns(user="who", item="it's", time="at", numeric=("price",), time_unit=unit)  # type: ignore[arg-type]
    plays = source(postgres, "NUMERIC", f"1, 2, 3, '{first}'", f"4, 5, 'NaN', '{last}'", time=time)
    (batch,) = plays.batches(lake, DAY, columns)
    assert batch.num_rows == 1
    plays = source(postgres, "NUMERIC", f"1, 2, 'NaN', '{first}'", f"4, 5, 6, '{last}'", time=time)
    with pytest.raises(DataError, match="'price' holds NaN"):
        [*plays.batches(lake, DAY, columns)]


def test_floats_are_read_as_what_they_are(postgres: Postgres, lake: Warehouse) -> None:
    plays = source(postgres, "DOUBLE PRECISION", "1, 2, 'NaN', '2026-01-01 10:00'")
    (batch,) = plays.batches(lake, DAY, COLUMNS)
    assert str(batch.to_pylist()[0]["price"]) == "nan"
