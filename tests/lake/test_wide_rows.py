"""Rows with more text than a batch can hold: they are put aside with their size, and never leave DuckDB whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.formats.json_lines import json_keys
from nightloop.tasks.lake.batches import WIDEST
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan

WIDE = "w" * 300_000
AT = "2026-01-01T10:00"
NAMES = ("user", "item", "time", "tags", "n")
COLUMNS = Columns(user="user", item="item", time="time", categorical=("tags",), numeric=("n",), multi_value={"tags": 3})


def write(path: Path, values: list[tuple[object, ...]]) -> None:
    """Rows of user, item, time, tags and n, in the format of the path's ending."""
    if path.suffix == ".parquet":
        columns = dict(zip(NAMES, map(list, zip(*values, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in values))
    else:
        lines = (",".join(str(value) for value in row) + "\n" for row in [NAMES, *values])
        path.write_bytes(gzip.compress("".join(lines).encode(), 1))


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv.gz"])
@pytest.mark.parametrize("place", ["item", "time", "tags"])
def test_a_wide_row_never_leaves_duckdb_whole(tmp_path: Path, ending: str, place: str) -> None:
    """Whatever column is wide, and although a file has only a few kB."""
    good, n = {"user": "ann", "item": "1", "time": AT, "tags": "a", "n": 1}, 200 if ending == "parquet" else 20
    limit = WIDE[: WIDEST - 100]
    rows = [good, *[{**good, "user": f"u{i}", place: WIDE} for i in range(n)], {**good, "user": "bob", "tags": limit}]
    file = tmp_path / f"a.{ending}"
    write(file, [tuple(row.values()) for row in rows])
    with lake(tmp_path) as warehouse:
        source = Files(str(file))
        for batch in source.batches(warehouse, day(0), COLUMNS):
            assert batch.nbytes < WIDEST + 1_000 * (n + 2)
        landing = land_period(warehouse, source, plan(COLUMNS), day(0))
        assert landing.rows == n + 2
        asked = "SELECT reason, raw FROM quarantine WHERE version = ?"
        found = warehouse.connection.execute(asked, [landing.version]).fetchall()
        assert [reason for reason, _ in found] == ["unreadable_row"] * n
        assert "bytes, and a row may have 65,536: shorten them" in found[0][1] and len(found[0][1]) < 1_000
        users = warehouse.connection.execute('SELECT "user", length(tags) FROM logs ORDER BY 1').fetchall()
        assert [row for row in users if row[0] in ("ann", "bob")] == [("ann", 1), ("bob", len(limit))]


def test_wide_lists_of_parquet_are_measured(tmp_path: Path) -> None:
    good = ("ann", "1", AT, ["a", "b"], 1)
    write(tmp_path / "a.parquet", [good, ("bob", "1", AT, [WIDE, "b"], 1)])
    with lake(tmp_path) as warehouse:
        landing = land_period(warehouse, Files(str(tmp_path / "a.parquet")), plan(COLUMNS), day(0))
        found = warehouse.connection.execute("SELECT reason, raw FROM quarantine").fetchall()
        assert landing.rows == 2 and [reason for reason, _ in found] == ["unreadable_row"]
        assert "300," in found[0][1]


def test_the_keys_of_wide_lines_are_found_without_their_values(tmp_path: Path) -> None:
    """The first thousand lines of a file were held as a whole to look at their keys: 100 lines of 4 MB ended the night."""
    line = json.dumps({"user": "ann", "item": 1, "page": "w" * 400_000, "words": ["w" * 400_000]}) + "\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((line * 300).encode(), 1))
    with Warehouse.open(Settings(home=tmp_path, memory="600MB", threads=2), "pond") as warehouse:
        assert json_keys(warehouse, str(tmp_path / "a.jsonl.gz")) == ["item", "page", "user", "words"]
