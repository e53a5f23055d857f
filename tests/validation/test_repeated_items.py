"""Repeated items: a plan of rankings is told if people take items again, and it does not say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.expectations import Expectations, Limit
from nightloop.tasks.plan.plan import Columns, Plan, Ranking
from nightloop.tasks.sources.files import Files
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from nightloop.tasks.validation.result import Validation
from tests.lake.make_lake import day, lake, plan

PAIRS = Columns(user="user", item="item", time="time")
USERS = 20


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[Warehouse]:
    with lake(tmp_path / "lake") as warehouse:
        yield warehouse


def judge(
    pond: Warehouse, folder: Path, index: int, items: list[int], the: Plan, versions: dict[int, int]
) -> Validation:
    """The verdict on a day on which every user takes these items, one an hour."""
    lines = [
        f"u{user},{item},2026-01-0{index + 1}T{hour:02d}:{user:02d}:00"
        for hour, item in enumerate(items)
        for user in range(USERS)
    ]
    (folder / f"2026-01-0{index + 1}.csv").write_text("\n".join(["user,item,time", *lines]))
    landing = land_period(pond, Files(f"{folder}/{{period}}.csv"), the, day(index))
    return validate_period(pond, the, day(index), landing.version, EarlierNights(versions=versions))


def found(seen: Validation) -> list[str]:
    return [reason for reason in seen.reasons if "their user took before" in reason]


def test_items_taken_again_are_counted_in_the_period_and_since_earlier_ones(pond: Warehouse, tmp_path: Path) -> None:
    the = plan(PAIRS)
    first = judge(pond, tmp_path, 0, [1, 2, 3, 1], the, {})
    assert first.statistics["repeated_share"] == 0.25 and first.verdict == "warned"
    assert (
        "allowed is at most 0.05: people take items again" in found(first)[0]
        and "`ranking: {repeats: true}`" in found(first)[0]
    )
    alone = judge(pond, tmp_path, 1, [1, 2, 9, 10, 11], the, {})
    assert alone.statistics["repeated_share"] == 0.0 and not found(alone)
    assert b"take items again" in first.document and b"take items again" not in alone.document
    after = judge(pond, tmp_path, 1, [1, 2, 9, 10, 11], the, {0: 1})
    assert after.statistics["repeated_share"] == 0.4 and found(after)


@pytest.mark.parametrize(
    "changes",
    [
        {"ranking": Ranking(repeats=True)},
        {"expectations": Expectations(repeated_items=Limit(severity="warn", most=0.5))},
        {"expectations": Expectations(repeated_items=Limit(severity="off", most=0.05))},
    ],
)
def test_a_plan_that_says_what_is_meant_hears_nothing(
    pond: Warehouse, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert not found(judge(pond, tmp_path, 0, [1, 2, 3, 1], plan(PAIRS).model_copy(update=changes), {}))


def test_a_plan_may_stop_the_night(pond: Warehouse, tmp_path: Path) -> None:
    strict = plan(PAIRS).model_copy(update={"expectations": Expectations(repeated_items=Limit(most=0.05))})
    assert judge(pond, tmp_path, 0, [1, 1], strict, {}).verdict == "blocked"


def test_of_many_users_some_are_looked_at(pond: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightloop.tasks.validation.statistics.SAMPLE", 20)
    seen = judge(pond, tmp_path, 0, [1, 2, 3, 1], plan(PAIRS), {})
    assert seen.statistics["repeated_share"] == 0.25  # every user takes as much again


def test_clicks_are_shown_again_by_nature(pond: Warehouse, tmp_path: Path) -> None:
    clicks = plan(Columns(user="user", item="item", time="time", label="label"))
    table = pa.table(
        {
            "user": ["a"] * 10,
            "item": ["b"] * 10,
            "time": [f"2026-01-01T10:0{n}:00" for n in range(10)],
            "label": [0, 1] * 5,
        }
    )
    pq.write_table(table, tmp_path / "2026-01-01.parquet")
    landing = land_period(pond, Files(f"{tmp_path}/{{period}}.parquet"), clicks, day(0))
    seen = validate_period(pond, clicks, day(0), landing.version, EarlierNights())
    assert "repeated_share" not in seen.statistics and not found(seen)
