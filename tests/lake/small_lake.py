"""A lake of one table in memory with the same SQL, so that validation is tested without landing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from nightloop.tasks.lake.statements import fill_in

SQL = Path(__file__).parents[2] / "sql"


class SmallLake:
    """What validation asks of a warehouse: query, stream and quarantine."""

    def __init__(self, rows: pa.Table, period: int = 0, version: int = 1) -> None:
        self.connection = duckdb.connect()
        self.connection.register("rows", rows)
        self.connection.execute("ATTACH ':memory:' AS lake; SET search_path = 'lake.main,memory.main'")
        self.connection.execute(
            "CREATE TABLE lake.landed AS SELECT $period::INTEGER AS period, $version::INTEGER AS version,"
            " (row_number() OVER () - 1)::BIGINT AS arrival, * FROM rows",
            {"period": period, "version": version},
        )
        self.connection.execute(
            "CREATE TABLE lake.quarantine (period INTEGER, version INTEGER, arrival BIGINT, reason VARCHAR, raw VARCHAR)"
        )

    def query(self, name: str, values: Mapping[str, object] | None = None) -> pa.Table:
        return self.connection.execute((SQL / f"{name}.sql").read_text(), dict(values or {})).to_arrow_table()

    def define(self, name: str, words: Mapping[str, str]) -> None:
        self.connection.execute(fill_in((SQL / f"{name}.sql").read_text(), words))

    def stream(self, name: str, values: Mapping[str, object]) -> Iterator[pa.RecordBatch]:
        yield from self.query(name, values).to_batches(max_chunksize=1000)

    def quarantine(self, period: int, version: int, rows: pa.Table) -> None:
        self.connection.register("incoming", rows)
        self.query("ingest/put_aside", {"period": period, "version": version})

    def reasons(self) -> dict[str, int]:
        found = self.query("validate/reason_counts", {"period": 0, "version": 1})
        return {row["reason"]: row["rows"] for row in found.to_pylist()}
