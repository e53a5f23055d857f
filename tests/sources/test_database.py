"""Databases: tables of SQLite, DuckDB and PostgreSQL as logs; only the period's rows are asked for."""

from __future__ import annotations

import socket
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import duckdb
import pyarrow as pa
import pytest
from pydantic import SecretStr

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.source_database import attach_database
from nightloop.tasks.lake.statements import statement
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import ConflictError, DataError, PlanError, StoreError
from nightloop.tasks.plan.plan import Calendar, Columns, Counts
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.database import Database
from tests.lake.make_lake import plan
from tests.postgres_server import Postgres, running_postgres

DAY = period(Calendar(start="2026-01-01"), 1)
COLUMNS = Columns(user="who", item="what", time="at", categorical=("kind",))
ROWS = [
    ("ann", 1, "2026-01-01 23:59:59", "a"), ("bob", 2, "2026-01-02 00:00:00", "b"), ("eve", 3, "2026-01-02 23:59:59.999", "a"),
    ("joe", 4, "2026-01-03 00:00:00", None), ("kim", 5, None, "a"),
]  # fmt: skip
TABLES = """
CREATE TYPE sort AS ENUM ('a', 'b');
CREATE TABLE plays (who TEXT, what INT, at TIMESTAMP, kind sort, seen JSON);
INSERT INTO plays VALUES
    ('ann', 1, '2026-01-01 23:59:59', 'a', '1'), ('bob', 2, '2026-01-02 00:00:00', 'b', '1'),
    ('eve', 3, '2026-01-02 23:59:59.999', 'a', '1'), ('joe', 4, '2026-01-03 00:00:00', NULL, '1'), ('kim', 5, NULL, 'a', '1');
CREATE TABLE dated (who TEXT, what INT, at DATE, kind TEXT);
INSERT INTO dated SELECT who, what, at::DATE, kind::TEXT FROM plays;
"""
IN_PERIOD = [("bob", 2), ("eve", 3)]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse.open(Settings(home=tmp_path / "home"), "shop") as warehouse:
        yield warehouse


def sqlite(path: Path, time: str = "TIMESTAMP", values: list[tuple[object, ...]] | None = None) -> str:
    """A file of SQLite with a table of plays."""
    with sqlite3.connect(path) as shop:
        shop.execute(f"CREATE TABLE plays (who TEXT, what INTEGER, at {time}, kind TEXT)")
        shop.executemany("INSERT INTO plays VALUES (?, ?, ?, ?)", values or ROWS)
    shop.close()
    return str(path)


def taken(batches: list[pa.RecordBatch]) -> list[tuple[str, int]]:
    """User and item of each row."""
    return sorted((row["who"], int(row["what"])) for batch in batches for row in batch.to_pylist())


def test_rows_of_the_period(lake: Warehouse, tmp_path: Path) -> None:
    source = Database("sqlite", sqlite(tmp_path / "shop.db"), "plays")
    assert taken([*source.batches(lake, DAY, COLUMNS)]) == IN_PERIOD
    assert taken([*source.batches(lake, period(Calendar(start="2026-01-01"), 0), COLUMNS)]) == [("ann", 1)]
    assert len(taken([*source.batches(lake, period(Counts(rows=2), 0), COLUMNS)])) == len(ROWS)  # the lake cuts them
    assert not lake.remarks
    assert taken([*source.batches(lake, period(Calendar(start="2026-01-01"), 9), COLUMNS)]) == []
    assert lake.remarks == ["table plays: none of its rows lies in the period"]


@pytest.mark.parametrize(("unit", "size"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9), ("auto", 1)])
def test_times_as_numbers(unit: str, size: int, lake: Warehouse, tmp_path: Path) -> None:
    starts = DAY.start // 10**6 if DAY.start else 0
    values = [
        ("ann", 1, (starts - 1) * size, "a"),
        ("bob", 2, starts * size, "b"),
        ("joe", 4, (starts + 86_400) * size, "a"),
    ]
    source = Database("sqlite", sqlite(tmp_path / "shop.db", "BIGINT", [*values]), "plays")
    columns = COLUMNS.model_copy(update={"time_unit": unit})
    assert taken([*source.batches(lake, DAY, columns)]) == [("bob", 2)]


def test_each_value_of_sqlite_is_read_as_it_is_stored(tmp_path: Path) -> None:
    """duckdb-sqlite 15, 47 and 107: of a time with an offset the offset was lost, and in a column DATE the time of day."""
    at = "2026-01-02T10:00:00"
    stored = {
        "TIMESTAMP": ("2026-01-02 11:00:00+01:00", "2026-01-02T10:00:00Z", 1767348000, 1767348000000, 1767348000.5),
        "DATE": ("2026-01-02 10:00:00", 1767348000), "DATETIME": ("2026-01-02 05:00:00-05:00",), "REAL": (1767348000.25,),
    }  # fmt: skip
    for kind, times in stored.items():
        values = [(f"u{n}", n, time, "a") for n, time in enumerate(times)]
        with Warehouse.open(Settings(home=tmp_path / kind), "shop") as warehouse:
            source = Database("sqlite", sqlite(tmp_path / f"{kind}.db", kind, [*values]), "plays")
            landing = land_period(warehouse, source, plan(COLUMNS), DAY)
            read = warehouse.connection.execute(
                "SELECT time FROM logs WHERE version = $1 ORDER BY item", [landing.version]
            ).fetchall()
        assert [time.replace(microsecond=0, tzinfo=None).isoformat() for (time,) in read] == [at] * len(times)


def test_ids_of_sqlite_may_have_several_types(lake: Warehouse, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute('CREATE TABLE "p;lays" (who INTEGER, what NUMERIC, at TEXT, kind)')
        values = [(1, 9007199254740993, b"\xff\x00"), ("x7", 12.0, "it's"), (2**63 - 1, "0012", None), (3, 0.1, 7)]
        shop.executemany("INSERT INTO \"p;lays\" VALUES (?, ?, '2026-01-02', ?)", values)
    shop.close()
    landing = land_period(lake, Database("sqlite", str(tmp_path / "shop.db"), "p;lays"), plan(COLUMNS), DAY)
    read = 'SELECT "user", item, kind FROM logs WHERE version = $1 ORDER BY arrival'
    assert lake.connection.execute(read, [landing.version]).fetchall() == [
        ("1", "9007199254740993", "ff00"), ("x7", "12", "it's"), ("9223372036854775807", "12", None), ("3", "0.10000000000000001", "7"),
    ]  # fmt: skip


def test_rows_whose_time_cannot_be_read_are_put_aside_every_night(lake: Warehouse, tmp_path: Path) -> None:
    values = [("ann", 1, "2026-01-02 10:00:00", "a"), ("bob", 2, "13/01/2026 10:00", "a"), ("kim", 5, None, "a")]
    source = Database("sqlite", sqlite(tmp_path / "shop.db", "TEXT", [*values]), "plays")
    for index, rows in ((0, 1), (1, 2)):
        landing = land_period(lake, source, plan(COLUMNS), period(Calendar(start="2026-01-01"), index))
        aside = "SELECT reason, raw FROM quarantine WHERE period = $1 AND version = $2"
        ((reason, raw),) = lake.connection.execute(aside, [index, landing.version]).fetchall()
        assert landing.rows == rows and reason == "unreadable_time" and "13/01/2026 10:00" in raw


def test_mysql_is_asked_for_times_in_utc_and_for_numbers(lake: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """duckdb-mysql 26 and 83: 5 in a TINYINT(1) was true. A TIMESTAMP was in the zone of the server, an hour off in Oslo."""
    set_before: list[str] = []
    monkeypatch.setattr("nightloop.tasks.lake.source_database.load_extension", lambda *_: None)
    monkeypatch.setattr(Warehouse, "define", lambda _, name, words: set_before.append(name))
    attach_database(lake, "mysql", "host=db", ["plays"])
    assert set_before == ["catalog/mysql_in_utc", "catalog/mysql_numbers", "catalog/attach_source"]
    assert "mysql_session_time_zone = '+00:00'" in statement("catalog/mysql_in_utc")
    assert "mysql_tinyint1_as_boolean = false" in statement("catalog/mysql_numbers")


@pytest.mark.parametrize("kind", ["INTERVAL", "BIT", "BIGNUM", "UHUGEINT"])
def test_types_that_are_not_read(lake: Warehouse, tmp_path: Path, kind: str) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute(f'CREATE TABLE plays (who TEXT, what INT, "at" TIMESTAMP, kind {kind})')
    with pytest.raises(
        DataError, match=f"the column 'kind' holds {kind}: make a view with the value as a text or a number"
    ):
        [*Database("duckdb", str(tmp_path / "shop.duckdb"), "plays").batches(lake, DAY, COLUMNS)]


def test_a_view_of_duckdb(lake: Warehouse, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute('CREATE SCHEMA web; CREATE TABLE web.raw (who TEXT, what INT, "at" TIMESTAMPTZ, kind TEXT)')
        shop.executemany("INSERT INTO web.raw VALUES (?, ?, ?::TIMESTAMP AT TIME ZONE 'UTC', ?)", ROWS)
        shop.execute('CREATE VIEW web."p;lays" AS SELECT *, to_json(who) AS seen FROM web.raw WHERE what <> 3')
    source = Database("duckdb", str(tmp_path / "shop.duckdb"), "web.p;lays")
    assert taken([*source.batches(lake, DAY, COLUMNS)]) == [("bob", 2)]
    with pytest.raises(DataError, match="'seen' holds JSON: make a view"):
        [*source.batches(lake, DAY, COLUMNS.model_copy(update={"categorical": ("seen",)}))]


@pytest.mark.parametrize(
    "source",
    [
        "read_text('{home}/secret.txt')",
        "lake.main.collected",
        "sqlite_query('__ducklake_metadata_lake', 'DELETE FROM ducklake_snapshot RETURNING 1 AS x')",
        "ducklake_expire_snapshots('lake', older_than => TIMESTAMP '2100-01-01')",
        "ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    ],
)
def test_a_view_of_duckdb_reaches_neither_the_lake_nor_files(source: str, tmp_path: Path) -> None:
    """Whoever delivers the file writes its views, in a lake of his own for example."""
    (tmp_path / "secret.txt").write_text("hunter2")
    view = (
        "CREATE VIEW shop.main.plays AS SELECT 'ann' AS who, 1 AS what, TIMESTAMP '2026-01-02' AS at, 'a' AS kind FROM "
    )
    with Warehouse.open(Settings(home=tmp_path / "his"), "shop") as his:
        his.connection.execute(f"ATTACH '{tmp_path}/shop.duckdb' AS shop")
        his.connection.execute(view + source.format(home=tmp_path))
    with Warehouse.open(Settings(home=tmp_path / "home"), "shop") as lake:
        land_period(lake, Database("sqlite", sqlite(tmp_path / "shop.db"), "plays"), plan(COLUMNS), DAY)
        with pytest.raises((StoreError, DataError), match=r"disabled by configuration|does not exist"):
            [*Database("duckdb", str(tmp_path / "shop.duckdb"), "plays").batches(lake, DAY, COLUMNS)]
    with Warehouse.open(Settings(home=tmp_path / "home"), "shop") as lake:
        assert lake.latest() == {1: 1}


def test_a_duckdb_file_has_the_limits_of_the_lake(tmp_path: Path) -> None:
    with Warehouse.open(Settings(home=tmp_path, memory="300MB", threads=1), "shop") as lake, lake.beside() as beside:
        for warehouse in (lake, beside):
            (limits,) = warehouse.query("catalog/limits").to_pylist()
            assert limits["memory_limit"].startswith("286.") and limits["threads"] == 1  # 300 MB in MiB, rounded


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres(password="hunter2hunter") as server:
        server.run("psql", "-c", TABLES)
        yield server


def test_postgres_is_asked_for_the_period_alone(
    postgres: Postgres, lake: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"host=127.0.0.1 port={postgres.port} user={postgres.user} dbname=postgres"
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    source = Database("postgres", where, "plays")
    postgres.run("psql", "-c", "ALTER SYSTEM SET log_statement = 'all'", "-c", "SELECT pg_reload_conf()")
    batches = [*source.batches(lake, DAY, COLUMNS)]
    assert taken(batches) == IN_PERIOD
    assert [row["kind"] for batch in batches for row in batch.to_pylist()] == ["b", "a"]
    asked = [
        line for line in postgres.log.read_text().splitlines() if "FROM" in line and "plays" in line and "COPY" in line
    ]
    assert asked and all(">= '2026-01-01" in line for line in asked)
    assert taken([*Database("postgres", where, "public.dated").batches(lake, DAY, COLUMNS)]) == IN_PERIOD


def test_a_database_that_does_not_open(
    postgres: Postgres, lake: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong-one-here")
    where = f"host=127.0.0.1 port={postgres.port} user=postgres dbname=postgres"
    with pytest.raises(StoreError, match="the postgres database cannot be opened") as raised:
        [*Database("postgres", where, "plays").batches(lake, DAY, COLUMNS)]
    assert "wrong-one-here" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match="no sqlite file"):
        [*Database("sqlite", str(tmp_path / "none.db"), "plays").batches(lake, DAY, COLUMNS)]
    (tmp_path / "text.db").write_text("not a database, but a text that is longer than one" * 99)
    with pytest.raises((StoreError, DataError)):
        [*Database("sqlite", str(tmp_path / "text.db"), "plays").batches(lake, DAY, COLUMNS)]
    with pytest.raises(ConflictError, match="pip install duckdb-extension-mysql-scanner"):
        [*Database("mysql", "host=127.0.0.1", "plays").batches(lake, DAY, COLUMNS)]


def test_a_value_that_cannot_be_read_is_one_of_its_table(lake: Warehouse, tmp_path: Path) -> None:
    """Dates such as 2026-00-00 of MariaDB were "Date out of range", and nothing said of which table."""
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute("CREATE TABLE raw AS SELECT 'ann' AS who, 'tea' AS what, 'x' AS kind, '2026-00-00' AS day")
        shop.execute("CREATE VIEW plays AS SELECT who, what, kind, CAST(day AS TIMESTAMP) AS at FROM raw")
    with pytest.raises(
        DataError, match=r"table plays: a value cannot be read \(Conversion Error: .*2026-00-00.*make a view"
    ):
        [*Database("duckdb", str(tmp_path / "shop.duckdb"), "plays").batches(lake, DAY, COLUMNS)]


def test_no_such_table_or_column(lake: Warehouse, tmp_path: Path) -> None:
    path = sqlite(tmp_path / "shop.db")
    with pytest.raises(DataError, match="shows"):
        [*Database("sqlite", path, "shows").batches(lake, DAY, COLUMNS)]
    with pytest.raises(
        DataError, match="table plays has no column 'user'; its columns are 'who', 'what', 'at', 'kind'"
    ):
        [*Database("sqlite", path, "plays").batches(lake, DAY, COLUMNS.model_copy(update={"user": "user"}))]


@pytest.mark.parametrize(
    ("kind", "connection", "table", "said"),
    [
        ("oracle", "x", "t", "must be postgres, mysql, sqlite, duckdb"),
        ("sqlite", "", "t", "needs `connection`"),
        ("sqlite", "x.db", "a.b.c", "a schema and a name"),
        ("sqlite", "x.db", "a.", "a schema and a name"),
        ("postgres", "host=db password=hunter2", "t", "holds a password"),
        ("postgres", "postgresql://me:hunter2@db/shop", "t", "holds a password"),
        ("mysql", "host=db passwd=hunter2", "t", "holds a password"),
        ("mysql", "host=db PassWord=hunter2", "t", "holds a password"),
        ("mysql", 'host=db "password"="hunter2"', "t", "holds a password"),
        ("postgres", "hots=db", "t", "not a keyword of libpq"),
    ],
)
def test_options_that_are_refused(kind: str, connection: str, table: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as raised:
        Database(kind, connection, table)  # type: ignore[arg-type]
    assert "hunter2" not in str(raised.value)


def ask_for_password(listening: socket.socket, said: list[bytes]) -> None:
    """What a PostgreSQL server does that wants the password as it is; it keeps what it was told."""
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"R" + struct.pack(">II", 8, 3))
            said.append(connection.recv(1000))


def test_the_password_of_the_catalog_is_not_sent_to_the_server_of_a_source(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB sends a secret without a name to every server that is opened after it was made."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    where = f"host=127.0.0.1 port={postgres.port} user={postgres.user} dbname=postgres password={postgres.password}"
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=ask_for_password, args=(listening, said), daemon=True).start()
        source = Database(
            "postgres", f"host=127.0.0.1 port={listening.getsockname()[1]} user=reader dbname=x sslmode=disable", "t"
        )
        with Warehouse.open(Settings(home=tmp_path, catalog=SecretStr(f"postgres:{where}")), "shop") as lake:
            with pytest.raises(StoreError, match="the postgres database cannot be opened"):
                [*source.batches(lake, DAY, COLUMNS)]
            landed = land_period(lake, Database("sqlite", sqlite(tmp_path / "shop.db"), "plays"), plan(COLUMNS), DAY)
            assert landed.fresh and lake.latest() == {1: 1}
    assert said and not any(said)


def test_a_server_that_never_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsn, "DEADLINES", dsn.DEADLINES.replace("connect_timeout=30", "connect_timeout=2"))
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        Warehouse.open(Settings(home=tmp_path), "shop") as warehouse,
        pytest.raises(StoreError, match=r"the postgres database cannot be opened.*timeout expired"),
    ):
        attach_database(warehouse, "postgres", f"dbname=x host=127.0.0.1 port={mute.getsockname()[1]}", ["public", "t"])
