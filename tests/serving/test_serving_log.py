"""The serving log: the lake reads the time of a record as the instant at which the row was served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.plan import Calendar, Columns
from nightloop.tasks.serving.pending_labels import ScoredRequest, ScoreRequest
from nightloop.tasks.serving.serving_log import ServingLog
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import lake, plan

KATHMANDU = ZoneInfo("Asia/Kathmandu")  # 5:45 ahead of UTC
TIMES = tuple(
    datetime(2026, 11, 1, *clock, tzinfo=KATHMANDU)
    for clock in ((0, 0, 0, 0), (5, 44, 59, 999_999), (9, 5, 7, 1_000), (12, 0, 0, 0), (23, 59, 59, 123_456))
)
MILLISECOND, SECOND = timedelta(milliseconds=1), timedelta(seconds=1)


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("served")) as warehouse:
        yield warehouse


@pytest.mark.parametrize(
    ("writing", "exact"),
    [
        *(({"time_unit": unit}, timedelta(microseconds=1)) for unit in ("auto", "text", "s", "ms", "us", "ns", "days")),
        *(({"time_format": form}, exact) for form, exact in {
            "%d.%m.%Y %H:%M:%S,%f": timedelta(microseconds=1), "%Y-%m-%d %H:%M:%S.%n": timedelta(microseconds=1),
            "%d/%b/%Y:%H:%M:%S.%f %z": timedelta(microseconds=1), "%Y%m%d%H%M%S.%f": timedelta(microseconds=1),
            "%Y%m%d%H%M%S.%g": MILLISECOND, "%a %-d %B %y %I:%M:%S %p %Z": SECOND, "%j %Y %H:%M:%S %Z %z": SECOND,
            "%%g %%z %Y%m%dT%H%M%S": SECOND,
        }.items()),
    ],
)  # fmt: skip
def test_the_lake_reads_the_instant_that_was_served(
    pond: Warehouse, tmp_path: Path, writing: dict[str, str], exact: timedelta
) -> None:
    columns = Columns.model_validate({"user": "u", "item": "i", "time": "t", "label": "y", **writing})
    days = Calendar(start="2026-11-01", timezone="Asia/Kathmandu")
    order, records = plan(columns, days), ServingLog(tmp_path, plan(columns, days))
    for number, at in enumerate(TIMES):
        served = ScoredRequest("v", ScoreRequest(["ann"], [number]), at.isoformat(), [0.5], [0.5], [1.0])
        records.write_labelled([(f"r{number}", served, [0])])
    records.close()
    landing = land_period(pond, Files(f"{tmp_path}/labelled/{{period}}.jsonl"), order, period(days, 0))
    asked = "SELECT epoch_us(time) FROM logs WHERE version = ? ORDER BY item"
    found = [micros for (micros,) in pond.connection.execute(asked, [landing.version]).fetchall()]
    step = exact // timedelta(microseconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
    assert found == [(at - epoch) // exact * step for at in TIMES]


def test_records_go_to_a_new_file_if_theirs_was_moved_or_removed(tmp_path: Path) -> None:
    records, file = ServingLog(tmp_path, plan()), tmp_path / "labelled" / "2026-11-01.jsonl"
    moved = file.with_suffix(".moved")
    for number, change in enumerate((lambda: None, lambda: file.rename(moved), file.unlink)):
        change()
        served = ScoredRequest("v", ScoreRequest(["ann"], [number]), "2026-11-01T00:00:00+00:00", [0.5], [0.5], [1.0])
        records.write_labelled([(f"r{number}", served, [0])])
        records.flush()
        assert [json.loads(line)["request"] for line in file.read_text().splitlines()] == [f"r{number}"]
    records.close()
    assert json.loads(moved.read_text())["request"] == "r0"


def test_a_day_that_cannot_be_written_costs_no_row_of_another_day(tmp_path: Path) -> None:
    """Each label is learned once, so rows that are not recorded with it are lost to the night."""
    order = plan(Columns(user="u", item="i", time="t", label="y"), Calendar(start="2026-11-01"))
    records = ServingLog(tmp_path, order)
    (tmp_path / "labelled" / "2026-11-01.jsonl").mkdir(parents=True)
    days = {f"r{day}": f"2026-11-0{day}T12:00:00+00:00" for day in (1, 2)}
    rows = [
        (name, ScoredRequest("v", ScoreRequest(["ann"], [1]), when, [0.5], [0.5], [1.0]), [0])
        for name, when in days.items()
    ]
    with pytest.raises(IsADirectoryError):
        records.write_labelled(rows)
    records.flush()
    assert json.loads((tmp_path / "labelled" / "2026-11-02.jsonl").read_text())["request"] == "r2"


def test_rows_that_are_still_in_memory_count_towards_the_most(tmp_path: Path) -> None:
    records = ServingLog(tmp_path, plan(), most=1_000)
    served = ScoredRequest("v", ScoreRequest(["ann"], [1]), "2026-11-01T00:00:00+00:00", [0.5], [0.5], [None])
    with pytest.raises(StoreError, match=r"of at most 1,000 \(NIGHTLOOP_RECORDS\)"):
        for number in range(100):
            records.write_served(f"r{number}", served)
    records.close()
    assert 1_000 <= (tmp_path / "served" / "2026-11-01.jsonl").stat().st_size < 1_200
