"""Catalogs: SQLite and PostgreSQL, disk and S3, several writers, newer formats, and lakes that moved."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from nightloop.tasks.data.clean_rows import clean_digest
from nightloop.tasks.lake.catalog_marks import leave_mark, removal_obstacle
from nightloop.tasks.lake.extensions import remember_signature, verified_extensions
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.retry import catalog_busy, retry_conflicts
from nightloop.tasks.lake.versions import compact_lake, expire_versions, idle_versions
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings
from tests.lake.make_lake import NAMES, SIMPLE, day, lake, rows
from tests.s3_servers import Server, free_port

MANY = tuple((f"u{n}", n, n, n % 2, "web", float(n)) for n in range(500))
WRITER = """
import sys
from pathlib import Path
from tests.lake.make_lake import NAMES, SIMPLE, day, rows
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.settings import Settings
home, catalog, who = sys.argv[1:]
for index in range(2):
    with Warehouse.open(Settings(home=Path(home), catalog=catalog), "pond") as warehouse:
        land(warehouse, day(0), rows(*SIMPLE, (who, index, 9, 1, "x", 1.0)), NAMES)  # everybody's period
        land(warehouse, day(1), rows(*SIMPLE), NAMES)  # the same for everybody
        land(warehouse, day(10 + int(who)), rows(*SIMPLE), NAMES)  # nobody else's
"""


def through(warehouse: Warehouse) -> None:
    """The life of a lake: land, land again, land late, read, expire, compact, read."""
    first = land(warehouse, day(0), rows(*MANY), NAMES)
    assert not land(warehouse, day(0), rows(*reversed(MANY)), NAMES).fresh
    assert land(warehouse, day(0), rows(*MANY[:-1]), NAMES).version == 2
    land(warehouse, day(1), rows(*SIMPLE), NAMES)
    assert warehouse.latest() == {0: 2, 1: 1} and first.rows == 500
    kept = clean_digest(warehouse, 0, 2), clean_digest(warehouse, 1, 1)
    assert expire_versions(warehouse, {}, idle_versions(warehouse, {})) == [(0, 1)]
    compact_lake(warehouse, datetime.now(UTC) + timedelta(minutes=1))
    assert (clean_digest(warehouse, 0, 2), clean_digest(warehouse, 1, 1)) == kept


@pytest.fixture(scope="session")
def as_on_disk(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The clean digest of the default lake, which every other one must have."""
    with lake(tmp_path_factory.mktemp("disk")) as warehouse:
        through(warehouse)
        return clean_digest(warehouse, 0, 2)[0]


def test_postgres(tmp_path: Path, postgres: str, as_on_disk: str) -> None:
    with lake(tmp_path, catalog=postgres) as warehouse:
        through(warehouse)
    with lake(tmp_path, catalog=postgres) as warehouse:
        assert clean_digest(warehouse, 0, 2)[0] == as_on_disk
    with Warehouse.open(Settings(home=tmp_path, catalog=postgres), "other-pipeline") as warehouse:
        assert warehouse.latest() == {}


def test_a_lost_connection_is_no_fault_of_the_logs(tmp_path: Path, postgres: str) -> None:
    """It was said to be an error of the data, or a fault of nightloop with a traceback."""
    end = "SELECT count(pg_terminate_backend(pid))::text AS ended FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with duckdb.connect() as own, lake(tmp_path, catalog=postgres) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), NAMES)
        landed = warehouse.latest()
        own.load_extension("postgres_scanner")
        own.execute(f"ATTACH '{postgres.removeprefix('postgres:')}' AS pg (TYPE postgres)")

        def change() -> None:
            own.execute("SELECT * FROM postgres_query('pg', $1)", [end]).fetchall()
            warehouse.query("catalog/take_turn")

        with pytest.raises(StoreError, match="PostgreSQL does not answer; check that it runs, and run again"):
            warehouse.write(change)
        assert warehouse.latest() == landed


def test_a_server_that_does_not_run_is_named_with_what_to_do(tmp_path: Path) -> None:
    nowhere = f"postgres:dbname=nightloop user=me host=127.0.0.1 port={free_port()}"
    said = "cannot be opened: PostgreSQL does not answer; check that it runs, and run again"
    with pytest.raises(StoreError, match=said), lake(tmp_path, catalog=nowhere):
        pass


def test_a_restored_copy_of_the_database_is_another_catalog(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has the name of the original, and connection strings that leave the database out are the same text.

    Each removed the files that the other had written since the copy was made.
    """
    bare = postgres.replace("dbname=postgres ", "")

    def opened(database: str, land_at: int | None = None) -> str:
        monkeypatch.setenv("PGDATABASE", database)
        settings = Settings(home=tmp_path / database, data=str(tmp_path / "data"), catalog=bare)
        with Warehouse.open(settings, "copied") as warehouse:
            leave_mark(warehouse, settings, "copied")
            if land_at is not None:
                land(warehouse, day(land_at), rows(*MANY), NAMES)
            return removal_obstacle(warehouse, settings, "copied", datetime.now(UTC) + timedelta(days=1))

    with duckdb.connect() as own:
        own.load_extension("postgres_scanner")
        own.execute(
            f"ATTACH '{postgres.removeprefix('postgres:').replace('dbname=postgres', 'dbname=template1')}' AS pg (TYPE postgres)"
        )
        for name in ("original", "copy TEMPLATE original"):
            own.execute("CALL postgres_execute('pg', $1, use_transaction => false)", [f"CREATE DATABASE {name}"])
            if name == "original":
                assert opened("original", 0) == opened("original") == ""
    opened("copy")
    assert opened("original", 1).startswith("another catalog has files there too: PostgreSQL")
    assert opened("copy").startswith("another catalog has files there too: PostgreSQL")


@pytest.fixture(scope="session")
def keeper(postgres: str) -> tuple[str, str]:
    """The server's connection string as a user who needs a password, and the password."""
    password = "it's p\\w:d @/9"
    with duckdb.connect() as own:
        own.load_extension("postgres_scanner")
        own.execute(f"ATTACH '{postgres.removeprefix('postgres:')}' AS pg (TYPE postgres)")

        def ask(statement: str) -> list[tuple[str]]:
            return own.execute("SELECT * FROM postgres_query('pg', $1)", [statement]).fetchall()

        file = Path(ask("SELECT current_setting('hba_file') AS file")[0][0])
        file.write_text("host all keeper 127.0.0.1/32 scram-sha-256\n" + file.read_text())
        literal = password.replace("\\", "\\\\").replace("'", "''")
        own.execute("CALL postgres_execute('pg', $1)", [f"CREATE ROLE keeper SUPERUSER LOGIN PASSWORD E'{literal}'"])
        assert ask("SELECT pg_reload_conf()::text AS done")
    return postgres.replace("user=postgres", "user=keeper"), password


@pytest.mark.parametrize(
    "way", ["keywords", "url", "PGPASSWORD", "PGPASSFILE", "url with PGPASSWORD", "passfile", ".pgpass"]
)
def test_every_way_to_give_a_password(
    tmp_path: Path, keeper: tuple[str, str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, password = keeper
    escaped, port = password.replace("\\", "\\\\"), catalog.rpartition("=")[2]
    passfile = tmp_path / ".pgpass"
    passfile.write_text(f"127.0.0.1:{port}:*:keeper:{escaped.replace(':', chr(92) + ':')}\n")
    passfile.chmod(0o600)
    url = f"postgres:postgresql://keeper%s@127.0.0.1:{port}/postgres"
    catalog = {
        "keywords": catalog + " password='" + escaped.replace("'", "\\'") + "'",
        "url": url % f":{quote(password, safe='')}",
        "url with PGPASSWORD": url % "",
        "passfile": f"{catalog} passfile='{passfile}'",
    }.get(way, catalog)
    given = {"PGPASSFILE": str(passfile)} if way == "PGPASSFILE" else {"PGPASSWORD": password} if "PGP" in way else {}
    if way == ".pgpass":
        extensions = Path.home() / ".duckdb"
        (tmp_path / ".duckdb").symlink_to(extensions)
        given = {"HOME": str(tmp_path)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with Warehouse.open(Settings(home=tmp_path, catalog=catalog), "passwords") as warehouse:
        assert warehouse.latest() == {}
        shown = str(warehouse.connection.execute("FROM duckdb_databases()").fetchall())
        shown += str(warehouse.connection.execute("FROM duckdb_secrets()").fetchall())
        shown += str(
            warehouse.connection.execute("FROM __ducklake_metadata_lake.passwords.ducklake_metadata").fetchall()
        )
    assert password not in shown and quote(password, safe="") not in shown and "p\\w" not in shown


@pytest.mark.parametrize("wrong", ["password=nonsense-12", "password='non sense-12'", ""])
def test_a_wrong_password_is_not_in_the_error(tmp_path: Path, keeper: tuple[str, str], wrong: str) -> None:
    catalog = f"{keeper[0]} {wrong}"
    with pytest.raises(OSError, match="password") as told, lake(tmp_path, catalog=catalog):
        pass
    said = "".join(traceback.format_exception(told.value))
    assert "sense" not in said and "the catalog postgres:dbname=postgres user=keeper host=127.0.0.1" in said


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_s3(tmp_path: Path, request: pytest.FixtureRequest, server: str, as_on_disk: str) -> None:
    s3: Server = request.getfixturevalue(server)
    settings = Settings(home=tmp_path, data=f"{s3.bucket()}/lake", s3_endpoint=s3.endpoint, s3_path_style=True)
    with Warehouse.open(settings, "pond", s3.credentials) as warehouse:
        through(warehouse)
    with Warehouse.open(settings, "pond", s3.credentials) as warehouse:
        assert clean_digest(warehouse, 0, 2)[0] == as_on_disk
    assert not list(tmp_path.rglob("*.parquet"))


def test_s3_with_credentials_of_the_environment(
    tmp_path: Path, rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rclone.credentials.items():
        monkeypatch.setenv(name.upper(), value)
    settings = Settings(home=tmp_path, data=f"{rclone.bucket()}/lake", s3_endpoint=rclone.endpoint, s3_path_style=True)
    assert rclone.secret not in repr(settings)
    with Warehouse.open(settings, "pond") as warehouse:
        assert land(warehouse, day(0), rows(*MANY), NAMES).rows == 500


def test_s3_with_postgres(tmp_path: Path, moto: Server, postgres: str, as_on_disk: str) -> None:
    settings = Settings(
        home=tmp_path, catalog=postgres, data=f"{moto.bucket()}/lake", s3_endpoint=moto.endpoint, s3_path_style=True
    )
    with Warehouse.open(settings, "larger", moto.credentials) as warehouse:
        through(warehouse)
        assert clean_digest(warehouse, 0, 2)[0] == as_on_disk


def test_a_lake_on_s3_has_the_marks_of_its_catalogs(tmp_path: Path, moto: Server) -> None:
    """No mark was ever written there, so that no file was merged or removed, however long the lake was in use."""
    data = f"{moto.bucket()}/lake"
    homes = [Settings(home=tmp_path / name, data=data, s3_endpoint=moto.endpoint, s3_path_style=True) for name in "ab"]

    def obstacle(settings: Settings, before: datetime) -> str:
        with Warehouse.open(settings, "pond", moto.credentials) as warehouse:
            leave_mark(warehouse, settings, "pond")
            return removal_obstacle(warehouse, settings, "pond", before)

    now = datetime.now(UTC)
    assert "this catalog is known there only since" in obstacle(homes[0], now - timedelta(days=7))
    assert obstacle(homes[0], now + timedelta(days=1)) == "", "a second opening leaves the mark's time as it is"
    for settings in homes[::-1]:
        assert "another catalog has files there too" in obstacle(settings, now + timedelta(days=1))


def test_s3_with_wrong_credentials(tmp_path: Path, rclone: Server) -> None:
    settings = Settings(home=tmp_path, data=f"{rclone.bucket()}/lake", s3_endpoint=rclone.endpoint, s3_path_style=True)
    wrong = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    with Warehouse.open(settings, "pond", wrong) as warehouse:
        with pytest.raises(OSError, match=r"403|denied|Forbidden|InvalidAccessKey"):
            land(warehouse, day(0), rows(*MANY), NAMES)
        assert warehouse.latest() == {}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
def test_writers_at_once(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """Three processes, one lake, made by whoever comes first: every version once, nothing lost, nothing twice."""
    catalog = request.getfixturevalue("postgres") if kind == "postgres" else ""
    work = WRITER.replace('"pond")', f'"many-{kind}")')
    writers = [
        subprocess.Popen([sys.executable, "-c", work, str(tmp_path), catalog, str(n)], stderr=subprocess.PIPE)
        for n in range(3)
    ]  # fmt: skip
    errors = [writer.communicate(timeout=200)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 3, errors
    with Warehouse.open(Settings(home=tmp_path, catalog=catalog), f"many-{kind}") as warehouse:
        assert warehouse.latest() == {0: 6, 1: 1, 10: 1, 11: 1, 12: 1}
        counts = "SELECT period, version, count(*), count(DISTINCT arrival) FROM landed GROUP BY ALL ORDER BY ALL"
        expected = [(0, v, 5, 5) for v in range(1, 7)] + [(p, 1, 4, 4) for p in (1, 10, 11, 12)]
        assert warehouse.connection.execute(counts).fetchall() == expected


def test_a_killed_writer_leaves_no_trace(tmp_path: Path) -> None:
    work = WRITER.split("for index")[0] + (
        "import os, signal\n"
        "with Warehouse.open(Settings(home=Path(home)), 'pond') as warehouse:\n"
        "    query = Warehouse.query\n"
        "    def fatal(self, name, params=None):\n"
        "        if name == 'ingest/insert_collected': os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return query(self, name, params)\n"
        "    Warehouse.query = fatal\n"
        "    land(warehouse, day(0), rows(*(SIMPLE * 100)), NAMES)\n"
    )
    killed = subprocess.run([sys.executable, "-c", work, str(tmp_path), "", "0"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "lake").glob(".scratch-*"))) == 1
    with lake(tmp_path) as warehouse:
        assert list((tmp_path / "lake").glob(".scratch-*")) == [warehouse.scratch]  # the dead one's is gone
        assert warehouse.latest() == {}
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES).version == 1


@pytest.mark.parametrize("pipeline", ["scratch-shop", "scratch", "main", "lake", "bakeoff", "extensions"])
def test_no_name_of_a_pipeline_makes_its_lake_a_directory_of_the_machinery(pipeline: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with Warehouse.open(settings, pipeline) as warehouse:
        land(warehouse, day(0), rows(*MANY), NAMES)
    for _ in range(2):
        with lake(tmp_path), Warehouse.open(settings, pipeline) as warehouse:
            assert len(warehouse.connection.execute("FROM landed").fetchall()) == len(MANY)


def test_a_catalog_of_a_newer_ducklake_is_refused(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), NAMES)
    _change(tmp_path, "UPDATE ducklake_metadata SET value = '9.0' WHERE key = 'version'")
    with (
        pytest.raises(ValueError, match=r"pond\.sqlite has a format that this release cannot read.*9\.0"),
        lake(tmp_path),
    ):
        pass


def test_tables_of_a_newer_release_are_refused(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        warehouse.connection.execute("UPDATE layout SET format = 2")
    with (
        pytest.raises(ValueError, match="layout 2, this release reads 1: install a newer release"),
        lake(tmp_path),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"this is no database at all" * 100])
def test_a_catalog_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "pond.sqlite").write_bytes(content)
    if not content:  # an empty file is how SQLite begins
        with lake(tmp_path) as warehouse:
            assert warehouse.latest() == {}
        return
    with pytest.raises(OSError, match=r"pond\.sqlite cannot be opened"), lake(tmp_path):
        pass


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    nobody = f"postgres:dbname=x host=127.0.0.1 port={free_port()}"
    with pytest.raises(OSError, match="cannot be opened"), lake(tmp_path, catalog=nobody):
        pass


@pytest.mark.parametrize("own", ["", " connect_timeout=2"])
def test_a_server_that_never_answers(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.setattr(dsn, "DEADLINES", dsn.DEADLINES.replace("connect_timeout=30", "connect_timeout=2"))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        catalog = f"postgres:dbname=x host=127.0.0.1 port={mute.getsockname()[1]}{own}"
        with pytest.raises(OSError, match=r"cannot be opened.*timeout expired"), lake(tmp_path, catalog=catalog):
            pass


def test_a_lake_may_move(tmp_path: Path) -> None:
    with lake(tmp_path / "here") as warehouse:
        land(warehouse, day(0), rows(*MANY), NAMES)
        before = clean_digest(warehouse, 0, 1)
    (tmp_path / "here").rename(tmp_path / "there, o'clock")
    with lake(tmp_path / "there, o'clock") as warehouse:
        assert clean_digest(warehouse, 0, 1) == before


def test_any_duckdb_can_read_the_lake(tmp_path: Path) -> None:
    """What the README shows."""
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*MANY), NAMES)
    with duckdb.connect() as own:
        own.load_extension("ducklake")
        own.load_extension("sqlite_scanner")
        own.execute(f"ATTACH 'ducklake:sqlite:{tmp_path}/lake/pond.sqlite' AS lake (READ_ONLY)")
        assert own.execute("SELECT count(*), sum(price) FROM lake.newest_logs").fetchall() == [(500, 124750.0)]


def _change(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "lake" / "pond.sqlite") as catalog:
        catalog.execute(statement)
    catalog.close()


class Unseen:
    """A connection to a catalog that cannot be seen the first `times` times."""

    def __init__(self, times: int, last: str = "") -> None:
        self.times, self.asked, self.last = times, 0, last

    def execute(self, *_: object) -> Unseen:
        self.asked += 1
        if self.asked <= self.times:
            words = (
                'Failed to query most recent snapshot for DuckLake: Failed to execute query "PRAGMA journal_mode=WAL": '
            )
            raise duckdb.Error(words + "disk I/O error")
        if self.last:
            raise duckdb.Error(self.last)
        return self

    def interrupt(self) -> None: ...

    def to_arrow_table(self) -> str:
        return "seen"


def test_a_catalog_that_cannot_be_seen_for_a_moment_is_looked_at_again(tmp_path: Path) -> None:
    def asked(times: int, last: str = "") -> str:
        return Warehouse(Unseen(times, last), tmp_path, 0).query("read/newest_versions")  # type: ignore[arg-type, return-value]

    assert asked(2) == "seen"
    for times, last, said in (
        (99, "", "the disk of the lake's catalog cannot be read or written: .*disk I/O error"),
        (
            1,
            "Current transaction is aborted",
            "other processes write to the catalog of the lake; run again .*is aborted",
        ),
    ):  # a write is begun again for these; who only reads tells them to a person
        with pytest.raises(StoreError, match=said):
            asked(times, last)


def test_a_signature_is_checked_again_once_the_file_is_another(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ducklake", "sqlite_scanner")}
    for name, file in files.items():
        file.write_bytes(b"signed")
        remember_signature(tmp_path, name, str(file))
    assert verified_extensions(tmp_path) == {*files}
    times = files["ducklake"].stat()
    files["ducklake"].write_bytes(b"forged")
    os.utime(files["ducklake"], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert verified_extensions(tmp_path) == {"sqlite_scanner"}
    files["sqlite_scanner"].unlink()
    assert verified_extensions(tmp_path) == set()
    (tmp_path / "extensions.json").write_text('{"ducklake": []')
    assert verified_extensions(tmp_path) == set()
    with Warehouse.open(Settings(home=tmp_path / "home"), "demo"):
        pass
    assert verified_extensions(tmp_path / "home" / "lake") <= {"ducklake", "sqlite_scanner"}


def test_no_extension_is_loaded_unsigned_though_signatures_are_checked_once(tmp_path: Path) -> None:
    for _ in range(2):  # the second takes what the first has checked
        with Warehouse.open(Settings(home=tmp_path), "demo") as warehouse:
            found = warehouse.connection.execute("SELECT current_setting('allow_unsigned_extensions')").fetchone()
            assert found == (False,)


def test_a_disk_that_fails_is_said_within_seconds_and_not_taken_for_other_writers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = 'Failed to execute query "PRAGMA journal_mode=WAL": disk I/O error'
    tried: list[float] = []
    monkeypatch.setattr("nightloop.tasks.lake.retry.time.sleep", tried.append)

    def attempt(failures: int) -> str:
        if len(tried) < failures:
            raise catalog_busy(said) from duckdb.IOException(said)
        return "open"

    assert retry_conflicts(lambda: attempt(3)) == "open", "the last other connection has just closed"
    with pytest.raises(
        StoreError, match=r"it is full or read-only, or it fails. Free space and run again .*disk I/O error"
    ):
        retry_conflicts(lambda: attempt(99))
    assert sum(tried) < 5


def test_a_lost_file_of_the_lake_is_said_with_what_to_do(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE * 4), NAMES)
    for file in (tmp_path / "lake" / "pond" / "main" / "landed").rglob("*.parquet"):
        file.unlink()
    with (
        lake(tmp_path) as warehouse,
        pytest.raises(StoreError, match=r"No such file.*restore it from a backup; without one, see"),
    ):
        clean_digest(warehouse, 0, 1)
