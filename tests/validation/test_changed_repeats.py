"""Changed repeats: rows of one key that differ are shown, because only the first of them stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from tests.lake.make_lake import day, lake, plan

CLICKS = Columns(user="user", item="item", time="time", label="label", categorical=("size",), numeric=("price",))
SOLD = Columns(user="user", item="item", time="time")
BY_ID = CLICKS.model_copy(update={"key": ("event",)})
ROWS = [(f"e{n}", f"u{n % 50}", n, f"2026-01-01T10:{n % 60:02d}:00", n % 2, "S", 2.5) for n in range(400)]
LATE = ("e0", "u0", 0, "2026-01-01T10:00:00", 1, "S", 2.5)


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("repeats")) as warehouse:
        yield warehouse


@pytest.mark.parametrize(
    ("columns", "again", "shown"),
    [
        (
            CLICKS,
            LATE,
            "label was '0.0' and then '1.0'",
        ),  # bigquery-etl 9241, marketing-analytics-jumpstart-dataform 30
        (CLICKS, (*LATE[:4], 0, "M", 2.5), "size was 'S' and then 'M'"),
        (CLICKS, (*LATE[:4], 0, "", 2.5), "size was 'S' and then 'None'"),
        (CLICKS, ROWS[0], ""),
        (SOLD, LATE, ""),  # the plan reads neither
        (BY_ID, (*LATE[:3], "2026-01-01T10:30:00", *LATE[4:]), "label was '0.0' and then '1.0'"),
        (BY_ID, ("e0", "u1", *ROWS[0][2:]), "user was 'u0' and then 'u1'"),
        (BY_ID, (*LATE[:3], "2026-01-01T10:30:00", *ROWS[0][4:]), ""),  # sent again later
    ],
)
def test_rows_of_one_key_that_differ_are_shown(
    pond: Warehouse, tmp_path: Path, columns: Columns, again: tuple[object, ...], shown: str
) -> None:
    head = "event,user,item,time,label,size,price"
    for name, rows in {"a": ROWS, "b": [again]}.items():
        lines = [head, *(",".join(map(str, row)) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    the = plan(columns)
    landing = land_period(pond, Files(f"{tmp_path}/*.csv"), the, day(0))
    reasons = validate_period(pond, the, day(0), landing.version, EarlierNights()).reasons
    found = [reason for reason in reasons if "repeated rows with other values" in reason]
    assert len(found) == bool(shown)
    assert all(
        f"with other values is 1, allowed is at most 0: {shown}. Of rows with one key" in reason for reason in found
    )
