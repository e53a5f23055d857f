"""Database: logs in a table of PostgreSQL, MySQL, SQLite or DuckDB."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa

from nightloop.tasks.formats.file_columns import check_columns, deletion_marks, without_marks
from nightloop.tasks.lake.batches import WIDEST
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.source_database import EXTENSIONS, attach_table, find_lost_number, reader
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.plan import Columns

EPOCH = datetime(1970, 1, 1)
UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "days": 86_400e6}  # µs of each
DATES = ("DATE", "TIMESTAMP")
NUMBERS = ("DECIMAL", "DOUBLE")  # as DuckDB calls NUMERIC with digits and without
WHOLE = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)")
DAY = timedelta(days=1)
UNREADABLE = ("JSON", "INTERVAL", "BIT", "BIGNUM", "UHUGEINT")  # Arrow makes negative numbers of large ones of the last


@dataclass(frozen=True)
class Database:
    """Logs in a table of PostgreSQL, MySQL, SQLite or DuckDB, read through DuckDB, which changes nothing there.

    The database is asked for the rows of one period if the plan's time is a column of dates or timestamps, or of whole
    numbers whose `time_unit` the plan names. An index on that column makes this fast. Of texts and other numbers the
    whole table is read every night, and so is one of SQLite, where each value has a type of its own: there all values
    are read as texts. A timestamp without a zone is in UTC. NaN and infinity in a column NUMERIC of PostgreSQL are
    refused. A row without a time belongs to no period and is not read, except if periods are equal counts of rows; one
    whose time cannot be read is put aside every night. What a table does not show, such as a column of another table, a
    view can; that of a DuckDB file can read this file alone.

    Parameters
    ----------
    kind : {"postgres", "mysql", "sqlite", "duckdb"}
        Which database it is. MySQL needs DuckDB's extension: pip install duckdb-extension-mysql-scanner.
    connection : str
        sqlite and duckdb: the path of the file. postgres and mysql: keyword=value pairs such as "host=db dbname=shop
        user=reader" (mysql: "host=db database=shop user=reader"), without a password, because plans are stored. The
        password of PostgreSQL comes from ~/.pgpass, or from PGPASSWORD, which is also sent to the server of a catalog
        in PostgreSQL; that of MySQL from MYSQL_PWD.
    table : str
        The table or view, with its schema if it is not the usual one: "events" or "shop.events".

    Raises
    ------
    PlanError
        An option is out of range, or `connection` holds a password.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import sqlite3
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Calendar, Columns
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.database import Database
    >>> columns, day = Columns(user="who", item="what", time="at"), period(Calendar(start="2026-01-01"), 0)
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "shop") as warehouse:
    ...     with sqlite3.connect(f"{folder}/shop.db") as shop:
    ...         _ = shop.execute("CREATE TABLE plays (who TEXT, what TEXT, at TIMESTAMP)")
    ...         _ = shop.execute("INSERT INTO plays VALUES ('ann', 'tea', '2026-01-01'), ('bob', 'jam', '2026-01-02')")
    ...     shop.close()
    ...     [batch] = Database("sqlite", f"{folder}/shop.db", "plays").batches(warehouse, day, columns)
    >>> batch.select(["who", "what"]).to_pylist()
    [{'who': 'ann', 'what': 'tea'}]
    """

    kind: Literal["postgres", "mysql", "sqlite", "duckdb"]
    connection: str
    table: str

    def __post_init__(self) -> None:
        """Raise PlanError if an option is out of range, or holds a password."""
        if self.kind not in EXTENSIONS:
            raise PlanError(f"kind is {str(self.kind)[:40]!r}, must be {', '.join(EXTENSIONS)}")
        for name in ("connection", "table"):
            given = getattr(self, name)
            if not isinstance(given, str) or not 0 < len(given.strip()) <= 4096:
                raise PlanError(f"the database source needs `{name}`, of at most 4,096 characters")
        if not all(part.strip() for part in self.parts) or len(self.parts) > 2:
            raise PlanError(
                f"table is {self.table[:80]!r}, must be a name, or a schema and a name: events, shop.events"
            )
        password = (
            dsn.read_catalog(self.connection).password
            if self.kind == "postgres"
            else self.kind == "mysql"
            and re.search(r"\b(password|passwd|pass)\"?\s*=|://[^/@]*:[^/@]*@", self.connection, re.I)
        )
        if password:
            raise PlanError(
                "connection holds a password, and plans are stored: leave it out, and set PGPASSWORD or ~/.pgpass (postgres) or "
                "MYSQL_PWD (mysql)"
            )

    @property
    def parts(self) -> list[str]:
        """The table's schema, if it was given, and its name."""
        return self.table.strip().split(".")

    def describe(self) -> str:
        """One line for people."""
        return f"table {self.table} of a {self.kind} database"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError if there is no such file, StoreError if the database cannot be opened,
        DataError if it has no such table or column."""
        if self.kind in ("sqlite", "duckdb") and not Path(self.connection).is_file():
            raise FileNotFoundError(
                f"no {self.kind} file {self.connection[:200]!r}: deliver it, or change `connection`"
            )
        with reader(warehouse, self.kind) as database:
            yield from self._rows(database, self._whole_name, period, columns)

    def names_in(self, warehouse: Warehouse, file: str = "") -> list[str]:
        """The names of the table's columns whose values can be read; there is no `file`. Raises as `batches`."""
        with reader(warehouse, self.kind) as database:
            types = attach_table(database, self.kind, self.connection, self._whole_name).types
        return [name for name, kind in types.items() if kind not in UNREADABLE]

    @property
    def _whole_name(self) -> list[str]:
        usual = {"postgres": ["public"], "sqlite": ["main"], "duckdb": ["main"]}.get(self.kind, [])
        return self.parts if len(self.parts) == 2 else [*usual, *self.parts]

    def _rows(
        self, database: Warehouse, parts: Sequence[str], period: Period, columns: Columns
    ) -> Iterator[pa.RecordBatch]:
        table = attach_table(database, self.kind, self.connection, parts)
        types = table.types
        check_columns(f"table {self.table}", [*types], columns.names)
        marks = deletion_marks(types, columns.names, columns)
        if unreadable := [name for name in columns.names if types[name] in UNREADABLE]:
            raise DataError(
                f"table {self.table}: the column {unreadable[0][:60]!r} holds {types[unreadable[0]]}: make a view with the value as a "
                "text or a number in a column of its own"
            )
        numbers = [name for name in columns.names if types[name].startswith(NUMBERS)] if self.kind == "postgres" else []
        span = _own_span(period, columns, types[columns.time])
        if lost := find_lost_number(database, self.connection, parts, numbers, span):
            raise DataError(
                f"table {self.table}: the column {lost[0][:60]!r} holds {lost[1]}, which would be read as 0 because its type is NUMERIC: "
                "leave such rows out, or make a view with NULLIF, which makes NaN a missing value"
            )
        timed = period.start is not None and period.end is not None
        query = {
            "rows": table.rows, "wanted": [*columns.names, *marks], "time": columns.time, "unit": columns.time_writing, "most": WIDEST,
            "start": period.start if timed else None, "end": period.end if timed else None,
            **_span(period, columns, types[columns.time]),
        }  # fmt: skip
        rows = 0
        found = self._explain_conversion(database.scan(("ingest/read_table", query)))
        for batch in without_marks(found, marks, f"table {self.table}"):
            rows += batch.num_rows
            yield batch
        if timed and not rows:
            database.remarks.append(f"table {self.table}: none of its rows lies in the period")

    def _explain_conversion(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches; a value that cannot be read is said to be one of the table."""
        try:
            yield from batches
        except DataError as error:
            if "Conversion Error" not in str(error):
                raise
            raise DataError(
                f"table {self.table}: a value cannot be read ({str(error).partition(chr(10))[0][:200]}): leave its row out, or make a view "
                "that has NULL for it. Dates of MySQL with a month or day of 0 are such"
            ) from error


def _span(period: Period, columns: Columns, kind: str) -> Mapping[str, object]:
    """What the database itself can be asked for: a day more than the period at both ends, as dates or as numbers."""
    span: dict[str, object] = {
        "dated": "_no_date", "low": None, "high": None, "counted": "_no_number", "first": None, "last": None,
    }  # fmt: skip
    if period.start is None or period.end is None:
        return span
    low, high = (timedelta(microseconds=period.start) - DAY, timedelta(microseconds=period.end) + DAY)
    if kind.startswith(DATES):
        span |= {"dated": columns.time, "low": EPOCH + low, "high": EPOCH + high}
    elif WHOLE.fullmatch(kind) and (size := UNITS.get(columns.time_writing)):
        first, last = (int(end / timedelta(microseconds=1) / size) for end in (low, high))
        span |= {"counted": columns.time, "first": first - 1, "last": last + 1}
    return span


def _own_span(period: Period, columns: Columns, kind: str) -> Mapping[str, str]:
    """The period itself, in values of its time column as PostgreSQL writes them; without a `time` if these are not known."""
    if period.start is not None and period.end is not None:
        ends = (period.start, period.end)
        if kind.startswith(DATES):
            since, until = (f"{EPOCH + timedelta(microseconds=end)}+00" for end in ends)
            return {"time": columns.time, "since": since, "until": until}
        if WHOLE.fullmatch(kind) and (size := UNITS.get(columns.time_writing)):
            since, until = (str(math.ceil(end / size)) for end in ends)
            return {"time": columns.time, "since": since, "until": until}
    return {"time": "", "since": "", "until": ""}
