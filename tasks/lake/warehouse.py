"""Warehouse: the logs of one pipeline in a DuckLake catalog, queried by the files in `sql/`: by default a SQLite file and Parquet
files under home; PostgreSQL and S3 need other settings and use the same SQL. Only this module and `extensions` use DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import duckdb
import pyarrow as pa

from nightloop.tasks.lake.batches import bounded_batches
from nightloop.tasks.lake.extensions import load_s3, load_verified, verified_before
from nightloop.tasks.lake.file_names import exact_names
from nightloop.tasks.lake.read_back import read_back
from nightloop.tasks.lake.retry import (
    LOST,
    catalog_busy,
    interruptible,
    is_in_the_way,
    next_batch,
    retry_conflicts,
    retry_unseen,
    unwrap_interrupts,
    with_advice,
)
from nightloop.tasks.lake.scratch import scratch
from nightloop.tasks.lake.statements import fill_in, statement
from nightloop.tasks.objects.s3_client import open_object
from nightloop.tasks.plan.errors import DataError, PlanError, StoreError
from nightloop.tasks.plan.redact import redact_error
from nightloop.tasks.plan.safe_text import hide_secrets
from nightloop.tasks.plan.settings import Settings

FORMAT = 1  # layout of the tables; a newer one is refused
CHUNK = 2_048  # rows that DuckDB returns at once, its own vector: rows may have WIDEST bytes each
TABLES = ("create_landed", "partition_landed", "create_quarantine", "first_aside", "create_collected", "create_logs",
          "create_newest_logs")  # fmt: skip
MACROS = tuple(
    f"define_{name}"
    for name in ["scaled", "written_date", "spelt", "instant", "wide_bytes", "too_wide", "plain_json", "parquet_rows"]
)
SESSION = ("use_utc", "use_lake")
FEW = 300_000  # rows of a lake up to which threads wait for each other longer than they save
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Warehouse:
    """An open lake of one pipeline. It is not thread-safe: each thread opens its own."""

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    scratch: Path  # a directory that is removed when the lake is closed
    most: int  # bytes that logs may take up in memory; larger ones are read into files
    place: str = ""  # of the Parquet files of this lake
    by_line: set[str] = field(default_factory=set, repr=False)  # files that the fast reader of delimited text refused
    head: bool = False  # read only the first rows of files, and do not check the rest
    remote: Callable[..., BinaryIO] | None = field(default=None, repr=False)  # opens an object of S3, or a span of it
    remarks: list[str] = field(default_factory=list, repr=False)  # remarks of sources on files without rows of a period
    last_read: dict[object, Any] = field(default_factory=dict, repr=False)  # at most one; strategies share it
    idle: list[duckdb.DuckDBPyConnection] = field(default_factory=list, repr=False)  # sessions that can be used again
    identity: list[str] = field(default_factory=list, repr=False)  # of the catalog, once it was asked for
    counted: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict, repr=False)  # clean rows, what landed

    @staticmethod
    @contextmanager
    def open(settings: Settings, pipeline: str, credentials: Mapping[str, str] | None = None) -> Iterator[Warehouse]:
        """Open the lake of a pipeline, and make it if it does not exist.

        `credentials` (aws_access_key_id, ...; {}: the environment's): S3 can be used if they are given, or if the settings
        name it. Raises DataError for a catalog that a newer release wrote, StoreError if the catalog cannot be reached.
        """
        directory = settings.home.absolute() / "lake"
        with hide_secrets(), unwrap_interrupts(), scratch(directory) as room, _connect(settings, room) as connection:
            warehouse = Warehouse(connection, room, int(settings.logs_memory), settings.data_path(pipeline))
            _configure(connection, settings)
            if settings.lake_on_s3 or credentials is not None:
                keys = credentials or settings.s3_keys
                load_s3(connection, settings, keys)
                warehouse = replace(warehouse, remote=partial(open_object, settings, keys))
            connection.execute(statement("catalog/set_signed_only"))
            _attach(connection, settings, pipeline)
            warehouse._create_missing_tables()
            if not settings.threads:
                warehouse._choose_threads()
            with warehouse._closing_sessions():
                yield warehouse

    def query(self, name: str, params: Mapping[str, object] | None = None) -> pa.Table:
        """The result of the statement in `sql/<name>.sql`, as one table."""
        lake, text, values = self.connection, statement(name), exact_names(params)
        with _translate_errors():
            execute = partial(interruptible, lambda: lake.execute(text, values).to_arrow_table(), lake.interrupt)
            return retry_unseen(execute, duckdb.Error)

    def stream(self, name: str, params: Mapping[str, object] | None = None) -> Iterator[pa.RecordBatch]:
        """The result of the statement in `sql/<name>.sql`, in batches, without holding all of it in memory."""
        return self.scan((name, params or {}))

    def scan(self, *steps: tuple[str, Mapping[str, object]]) -> Iterator[pa.RecordBatch]:
        """Like `stream`, for several consecutive statements that share temporary tables."""
        with self._session(len(steps) > 1) as cursor, _translate_errors():
            for name, params in steps:
                execute = partial(cursor.execute, statement(name), exact_names(params))
                found = retry_unseen(partial(interruptible, execute, cursor.interrupt), duckdb.Error)
                answer = found.to_arrow_reader(CHUNK)
                yield from bounded_batches(iter(partial(next_batch, answer, cursor.interrupt), None))

    @contextmanager
    def _session(self, alone: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose results are read in parts. To begin one takes 2 ms: it is used again, unless it failed or is `alone`."""
        if alone or not self.idle:
            session = self.connection.cursor()
            retry_unseen(partial(_run, session, *SESSION), duckdb.Error)
        else:
            session = self.idle.pop()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        session.close() if alone else self.idle.append(session)

    @contextmanager
    def _closing_sessions(self) -> Iterator[Warehouse]:
        try:
            yield self
        finally:
            for session in self.idle:
                session.close()

    def open_file(self, file: str) -> BinaryIO:
        """A file on disk, or an object of S3, to be read once from its start."""
        if "://" not in file:
            return Path(file).open("rb")
        if self.remote is None or not file.startswith("s3://"):
            raise DataError(f"{file} is neither on disk nor on S3")
        return self.remote(file)

    def define(self, name: str, words: Mapping[str, str]) -> None:
        """Run `sql/<name>.sql`, a statement with variable names: its quoted words '$word' and "$word" are filled in."""
        with unwrap_interrupts(), _translate_errors():
            self.connection.execute(fill_in(statement(name), words))

    @contextmanager
    def beside(self) -> Iterator[Warehouse]:
        """A database of its own in place of the lake, for files of others: what a view in them says is run when it is read.

        After `catalog/set_no_access` it sees nothing but what was attached before: not the lake, other files or the network.
        """
        (limits,) = self.query("catalog/limits").to_pylist()
        with _translate_errors():
            connection = duckdb.connect(config={**limits, "temp_directory": str(self.scratch)})
        with connection:
            _run(connection, "no_lake", *MACROS)
            with replace(self, connection=connection, idle=[])._closing_sessions() as database:
                yield database

    @contextmanager
    def lend(self, rows: pa.RecordBatchReader | pa.Table) -> Iterator[None]:
        """Make Arrow rows visible to statements as the table `incoming`, while the block runs."""
        self.connection.register("incoming", rows)
        try:
            yield
        finally:
            self.connection.unregister("incoming")

    def latest(self) -> dict[int, int]:
        """The newest version of each period that has landed."""
        return {row["period"]: row["version"] for row in self.query("read/newest_versions").to_pylist()}

    def quarantine(self, period: int, version: int, rows: pa.Table) -> None:
        """Put rows of a version into quarantine: columns arrival (int64) and reason (text). Repeating changes nothing."""
        if rows.num_rows:
            self.counted.pop((period, version), None)
            put, read = (partial(self.query, f"ingest/{name}", {"period": period, "version": version})
                         for name in ("put_aside", "aside_rows"))  # fmt: skip
            with self.lend(rows):
                self.write(lambda: (put(), read_back(read, "the rows put aside", self.place)))

    def write(self, change: Callable[[], Answer], turn: str = "catalog/take_turn") -> Answer:
        """Run `change` in one transaction, after the statement `turn`. If it conflicts with other writers, wait and run it again."""

        def once() -> Answer:
            with self._transaction():
                self.query(turn)
                return change()

        return retry_conflicts(_translate_errors()(once))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.begin()
        try:
            yield
            self.connection.commit()
        except BaseException:
            with suppress(duckdb.TransactionException):  # a failed commit has ended the transaction already
                self.connection.rollback()
            raise

    def _create_missing_tables(self) -> None:
        """Make the tables of a new catalog; refuse those of a newer release."""
        if not self.query("catalog/layout_there").num_rows:
            retry_conflicts(_translate_errors()(self._create_tables))
            retry_conflicts(partial(self.query, "catalog/drop_first_aside"))
        if (layout := self.query("catalog/layout_format").column(0)[0].as_py()) > FORMAT:
            raise DataError(f"the lake has layout {layout}, this release reads {FORMAT}: install a newer release")

    def _choose_threads(self) -> None:
        """Let one thread read a small lake. A new one, of which nothing is known, keeps them all."""
        if (self.query("catalog/rows_landed").column(0)[0].as_py() or FEW) < FEW:
            self.query("catalog/set_one_thread")

    def _create_tables(self) -> None:
        with self._transaction():
            if not self.query("catalog/layout_there").num_rows:
                for name in TABLES:
                    self.query(f"catalog/{name}")
                self.query("catalog/create_layout", {"format": FORMAT})


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        redact_error(error)
        if is_in_the_way(str(error)):
            raise catalog_busy(str(error)) from error
        message = with_advice(str(error).partition("\n\nLINE ")[0])  # what follows is the statement
        if LOST.search(message):
            raise StoreError(f"PostgreSQL does not answer; check that it runs, and run again: {message}") from error
        if isinstance(error, duckdb.IOException | duckdb.HTTPException | duckdb.PermissionException):
            raise StoreError(message) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise MemoryError(f"{message}\nGive NIGHTLOOP_MEMORY more, or collect smaller periods") from error
        raise DataError(message) from error


def _connect(settings: Settings, room: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory. Signatures of extensions are verified once: that takes a quarter of a second for each.

    Its limits are set here: for the parameters of a statement DuckDB imports pandas, which takes half a second.
    """
    unsigned = bool(verified_before(settings.home / "lake"))
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory, "temp_directory": str(room), "allow_unsigned_extensions": unsigned,
    }  # fmt: skip
    if settings.threads:
        config["threads"] = settings.threads
    try:
        return duckdb.connect(config=config)
    except duckdb.Error as error:
        raise PlanError(f"NIGHTLOOP_MEMORY is {settings.memory!r}; give it as 1500MB or 4GB: {error}") from error


def _configure(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    connection.execute(statement("catalog/set_no_downloads"))
    for name in ("ducklake", "postgres_scanner" if settings.postgres else "sqlite_scanner"):
        load_verified(connection, name, settings.home / "lake")


def _attach(connection: duckdb.DuckDBPyConnection, settings: Settings, pipeline: str) -> None:
    """Open the catalog. Raises DataError for one of a newer DuckLake, StoreError if it cannot be reached."""
    where, kind = f"{settings.home.absolute()}/lake/{pipeline}.sqlite", "sqlite"
    if catalog := settings.postgres:
        where, kind = f"postgres:{catalog.server}", "postgres"
        if catalog.password:  # not in the connection string, which DuckDB repeats in its errors
            connection.execute(fill_in(statement("catalog/postgres_secret"), {"password": catalog.password}))
    source = f"postgres:{catalog.with_deadlines}" if catalog else f"sqlite:{where}"
    words = {"catalog": f"ducklake:{source}", "data": f"{settings.data_path(pipeline)}/"}
    attach = fill_in(statement(f"catalog/attach_{kind}"), {**words, "pipeline": pipeline})
    try:
        retry_conflicts(_translate_errors()(lambda: connection.execute(attach)))
    except (ValueError, OSError) as error:
        if "version mismatch" in str(error):
            raise DataError(f"the catalog {where} has a format that this release cannot read: {error}") from error
        raise StoreError(f"the catalog {where} cannot be opened: {error}") from error
    if catalog and catalog.password:
        connection.execute(statement("catalog/drop_postgres_secret"))
    _run(connection, *MACROS)
    with _translate_errors():
        retry_unseen(partial(_run, connection, *SESSION), duckdb.Error)


def _run(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Run statements of `sql/catalog/` without parameters."""
    for name in names:
        connection.execute(statement(f"catalog/{name}"))
