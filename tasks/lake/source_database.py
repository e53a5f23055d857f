"""Source database: a database outside the lake, opened to read logs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nightloop.tasks.lake.extensions import load_extension
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import DataError, StoreError

EXTENSIONS = {"postgres": "postgres_scanner", "mysql": "mysql_scanner", "sqlite": "sqlite_scanner", "duckdb": ""}


@dataclass(frozen=True)
class SourceTable:
    """A table of a database that was opened."""

    types: Mapping[str, str]  # its columns, as DuckDB knows them
    rows: str  # the statement that reads it


@contextmanager
def reader(warehouse: Warehouse, kind: str) -> Iterator[Warehouse]:
    """Where a database of this kind is opened: beside the lake if its views are run by DuckDB, which would let whoever writes
    them read and change the lake and the files of this machine. Those of the other kinds are run by the database itself."""
    if kind != "duckdb":
        yield warehouse
        return
    with warehouse.beside() as alone:
        yield alone


def attach_table(warehouse: Warehouse, kind: str, place: str, parts: Sequence[str]) -> SourceTable:
    """Open a database as `attach_database` does, and look at a table in it."""
    table = attach_database(warehouse, kind, place, parts)
    found = warehouse.query("ingest/table_columns", {"table": table}).to_pylist()
    place_in_lake = {"kind": kind, "table": table, "database": _name(kind, place), "name": _quoted(parts)}
    (row,) = warehouse.query("ingest/table_rows", place_in_lake).to_pylist()
    types = {column["name"]: "VARCHAR" if kind == "sqlite" else str(column["type"]) for column in found}
    return SourceTable(types, row["rows"])


def find_lost_number(
    warehouse: Warehouse, place: str, parts: Sequence[str], columns: Sequence[str], span: Mapping[str, str]
) -> tuple[str, str] | None:
    """A column, of these of a table of PostgreSQL, with NaN or infinity in a row of a span, and which of them: DuckDB reads them as 0 if
    the type is NUMERIC (duckdb 23971), so that a user, an item or a price would be 0.

    `span`: `time`, a column, and its values `since` the first to `until` the first that is too late. Without a `time`: all rows.
    """
    if not columns:
        return None
    words = {"name": _quoted(parts), "columns": [*columns], **span}
    (asked,) = warehouse.query("ingest/lost_numbers", words).to_pylist()
    found = {"database": _name("postgres", place), "statement": asked["statement"]}
    return next(
        ((row["name"], row["number"]) for row in warehouse.query("ingest/ask_postgres", found).to_pylist()), None
    )


def attach_database(warehouse: Warehouse, kind: str, place: str, table: Sequence[str]) -> str:
    """Open a database to read it, once for each lake. Returns the full name of a table in it, quoted.

    Raises ConflictError if DuckDB's extension for it is not installed, StoreError if it cannot be opened.
    """
    name = _name(kind, place)
    if extension := EXTENSIONS[kind]:
        load_extension(warehouse.connection, extension)
    if kind == "mysql":
        warehouse.define("catalog/mysql_in_utc", {})
        warehouse.define("catalog/mysql_numbers", {})
    where = dsn.read_catalog(place).with_deadlines if kind == "postgres" else place
    try:
        warehouse.define("catalog/attach_source", {"place": where, "name": name, "kind": kind})
    except (DataError, StoreError) as error:
        raise StoreError(f"the {kind} database cannot be opened: {str(error).partition('LINE ')[0].strip()}") from error
    if kind == "duckdb":
        warehouse.define("catalog/set_no_access", {})
    return _quoted((name, *table))


def _name(kind: str, place: str) -> str:
    """What statements call a database."""
    return f"source_{hashlib.sha256(f'{kind}:{place}'.encode()).hexdigest()[:12]}"


def _quoted(parts: Sequence[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
