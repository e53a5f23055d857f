"""Clock changes: a local time that clocks show twice or never is put aside with the reason, in every format; others are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from nightloop.tasks.lake.clock_changes import clock_changes
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import csv, jsonl, parquet

CHANGES = [
    "2026-03-29 02:30:00 Europe/Oslo", "2026-10-25 02:00:00 Europe/Oslo", "2026-11-01T01:59:59.5 America/New_York",
    "2026/11/01 01:30 EST5EDT", "2026-04-05 01:45:00 Australia/Lord_Howe", "2026-10-04 02:15:00 Australia/Lord_Howe",
]  # fmt: skip
OTHERS = [
    "2026-03-29 01:59:59 Europe/Oslo", "2026-03-29 03:00:00 Europe/Oslo", "2026-10-25 03:00:00 Europe/Oslo", "2026-10-25 02:30:00",
    "2026-10-25 02:30:00 UTC", "2026-10-25 02:30:00+02:00", "2026-10-25 02:30:00 Europe/Nowhere", "2026-99-99 02:30:00 Europe/Oslo", None,
]  # fmt: skip


def test_only_times_of_the_hour_of_a_change_are_found() -> None:
    found = clock_changes(pa.array([*OTHERS, *CHANGES]), "auto")
    assert [*found] == [len(OTHERS) + n for n in range(len(CHANGES))]
    assert found[len(OTHERS)].startswith(
        "the clocks of the time zone show '2026-03-29 02:30:00 Europe/Oslo' twice or never"
    )
    assert clock_changes(pa.array([1, 2]), "auto") == {}


def test_a_format_says_where_the_zone_stands() -> None:
    times = pa.array(
        ["25/Oct/2026 02:30 Europe/Oslo", "25/Oct/2026 04:30 Europe/Oslo", "25/Oct/2026 02:30 UTC", "soon Europe/Oslo"]
    )
    assert [*clock_changes(times, "%d/%b/%Y %H:%M %Z")] == [0]
    assert clock_changes(times, "%d/%b/%Y %H:%M") == {}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_such_rows_are_put_aside_with_the_reason(tmp_path: Path, ending: str) -> None:
    """deephaven-core 3900: a csv with names of zones has times that say two things; DuckDB took the later one without a word."""
    times = ["2026-01-01 11:00:00 Europe/Oslo", *CHANGES[:2]]
    rows = [{"user": f"u{n}", "item": n, "time": time} for n, time in enumerate(times)]
    text = csv("user,item,time\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows))
    table = parquet(**{name: [row[name] for row in rows] for name in rows[0]})
    (tmp_path / f"2026-01-01.{ending}").write_bytes({"csv": text, "jsonl": jsonl(*rows), "parquet": table}[ending])
    columns = Columns(user="user", item="item", time="time")
    with lake(tmp_path) as warehouse:
        land_period(warehouse, Files(f"{tmp_path}/{{period}}.{ending}"), plan(columns), day(0))
        assert warehouse.connection.execute("SELECT time FROM logs").fetchall() == [
            (datetime(2026, 1, 1, 10, tzinfo=UTC),)
        ]
        aside = warehouse.connection.execute("SELECT reason, raw FROM quarantine ORDER BY arrival").fetchall()
    assert [reason for reason, _ in aside] == ["unreadable_row"] * 2
    assert all(f"show '{time}' twice or never" in raw for time, (_, raw) in zip(CHANGES, aside, strict=False))
