"""Source database: a database outside the lake, opened to read logs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nightloop.tasks.lake.warehouse import Warehouse, load_extension
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import DataError, StoreError

EXTENSIONS = {"postgres": "postgres_scanner", "mysql": "mysql_scanner", "sqlite": "sqlite_scanner", "duckdb": ""}


def attach_database(warehouse: Warehouse, kind: str, place: str, table: Sequence[str]) -> str:
    """Open a database to read it, once for each lake. Returns the full name of a table in it, quoted.

    Raises ConflictError if DuckDB's extension for it is not installed, StoreError if it cannot be opened.
    """
    name = f"source_{hashlib.sha256(f'{kind}:{place}'.encode()).hexdigest()[:12]}"
    if extension := EXTENSIONS[kind]:
        load_extension(warehouse.connection, extension)
    where = dsn.read_catalog(place).with_deadlines if kind == "postgres" else place
    try:
        warehouse.define("catalog/attach_source", {"place": where, "name": name, "kind": kind})
    except (DataError, StoreError) as error:
        raise StoreError(f"the {kind} database cannot be opened: {str(error).partition('LINE ')[0].strip()}") from error
    return ".".join('"' + part.replace('"', '""') + '"' for part in (name, *table))
