"""Check of columns: what `nightloop check` shows of columns that no plan uses, of ids over days, and of empty hours and periods."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
import yaml

from nightloop.flows.check import check
from tests.flows.test_check import delivered
from tests.flows.tiny_pipeline import raw_plan


def _events(ending: str, more: str) -> str:
    """Sixty rows of a day, with a column that says what each is and one that most lack."""
    if ending == "jsonl":
        return "".join(
            f'{{"user":"u{n}","item":{n % 7},"time":"{{day}}T{n % 24:02d}:00","event":"{"click" if n % 10 == 0 else "impression"}",'
            f'"cancelled_at":{"null" if n % 6 else chr(34) + "{day}T23:00" + chr(34)}{more}}}\n'
            for n in range(60)
        )
    rows = "".join(
        f"u{n},{n % 7},{{day}}T{n % 24:02d}:00,{'click' if n % 10 == 0 else 'impression'},{'' if n % 6 else '{day}T23:00'}\n"
        for n in range(60)
    )
    return f"user,item,time,event,cancelled_at\n{rows}"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_columns_that_the_plan_does_not_use_are_shown(ending: str, tmp_path: Path) -> None:
    """posthog 14273, woocommerce-admin 4557: rows of bots, of tests and of cancelled orders are marked in a column that nobody named."""
    text = check(str(delivered(tmp_path, ending, _events(ending, ""))))["text"]
    (named,) = [line for line in text if line.startswith("columns that the plan does not use: ")]
    assert sorted(named.partition(": ")[2].split(", ")) == ["cancelled_at", "event"]
    assert "  event: impression 90.00%, click 10.00%" in text
    (cancelled,) = [line for line in text if line.startswith("  cancelled_at: ")]
    assert cancelled.startswith("  cancelled_at: 2026-01-05") and cancelled.endswith(" 16.67%; 83.33% missing")


def test_values_that_are_those_of_one_row_are_not_shown(tmp_path: Path) -> None:
    """Names and addresses of people stay where they are; how many rows have one is shown."""
    rows = "".join(f"u{n},{n % 7},{{day}}T{n % 24:02d}:00,Ann {n},{'' if n % 3 else 'refund'},\n" for n in range(60))
    text = "\n".join(check(str(delivered(tmp_path, "csv", f"user,item,time,name,what,empty\n{rows}")))["text"])
    assert "\n  name: 60 different\n" in text and "Ann" not in text
    assert "\n  what: refund 33.33%; 66.67% missing\n" in text and "\n  empty: no value; 100.00% missing\n" in text


def test_columns_of_a_table_that_the_plan_does_not_use_are_shown(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE events (user TEXT, item TEXT, time TEXT, bot INTEGER)")
        rows = [(f"u{n}", f"i{n % 7}", f"2026-01-01 {n % 24:02d}:00", n % 10 == 0) for n in range(60)]
        shop.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    shop.close()
    options = {"kind": "sqlite", "connection": f"{tmp_path}/shop.db", "table": "events"}
    text = check(str(delivered(tmp_path, "csv", "", {"source": {"use": "database", "options": options}})))["text"]
    assert "columns that the plan does not use: bot" in text and "  bot: 0 90.00%, 1 10.00%" in text


def test_a_column_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    found = check(str(delivered(tmp_path, "jsonl", _events("jsonl", ',"nested":{"a":1},"same":"x"'))))
    assert found["sound"] and "  event: impression 90.00%, click 10.00%" in found["text"]
    assert {other["name"] for other in found["sample"]["others"]} == {"event", "cancelled_at", "same"}
    assert "  the same in all rows: same x" in found["text"]


def test_columns_beyond_those_that_are_read_are_named(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(70)]
    rows = "".join(f"u{n},{n % 7},{{day}}T{n % 24:02d}:00,{','.join('xy'[n % 2] for _ in names)}\n" for n in range(60))
    found = check(str(delivered(tmp_path, "csv", f"user,item,time,{','.join(names)}\n{rows}")))
    assert (
        f"columns that the plan does not use: {', '.join(names)}" in found["text"]
        and "  c0: x 50.00%, y 50.00%" in found["text"]
    )
    assert [other["rows"] for other in found["sample"]["others"]] == [60] * 60 + [0] * 10


def test_users_that_come_on_one_day_alone_are_shown(tmp_path: Path) -> None:
    """umami 4108, plausible 224: a visitor is a hash with a salt that is changed each day."""
    header = "user,item,time\n"
    plan = delivered(tmp_path, "csv", header)
    for day in range(1, 6):
        users = [hashlib.sha256(f"{day} {n}".encode()).hexdigest() for n in range(60)]
        rows = "".join(f"{user},{n % 7},2026-01-0{day}T{n % 24:02d}:00\n" for n, user in enumerate(users))
        (tmp_path / f"2026-01-0{day}.csv").write_text(header + rows)
    text = check(str(plan))["text"]
    (users_line,), (items,) = ([line for line in text if line.startswith(start)] for start in ("users: ", "items: "))
    assert users_line.endswith("; of the rows after the first day 0.00% have one of an earlier day")
    assert items.endswith("; of the rows after the first day 100.00% have one of an earlier day")


def test_ids_that_were_numbered_for_each_file_are_told(tmp_path: Path) -> None:
    header = "user,item,time\n"
    plan = delivered(tmp_path, "csv", header)
    for by_file, told in ((True, True), (False, False)):
        seen: dict[int, int] = {}
        for day in range(1, 6):
            seen = {} if by_file else seen
            users = [seen.setdefault(n * (day + 6) % 31, len(seen)) for n in (*range(30), *range(5, 30, 3))]
            rows = "".join(f"{user},i{n % 7},2026-01-0{day}T{n % 24:02d}:00:{n:02d}\n" for n, user in enumerate(users))
            (tmp_path / f"2026-01-0{day}.csv").write_text(header + rows)
        problems = check(str(plan))["problems"]
        said = "on 3 days the users are the numbers from 0 or 1 on, in the order in which they come first"
        assert any(said in text for text in problems) == told


def test_hours_and_periods_without_rows_are_shown(tmp_path: Path) -> None:
    """An export that runs at 18 o'clock has no evenings, and Java's YYYY puts the last days of a year into the next one."""
    times = [f"2026-01-0{1 + n % 3}T{n % 18:02d}:{n % 60:02d}" for n in range(1200)]
    (tmp_path / "all.csv").write_text(
        "user,item,time\n" + "".join(f"u{n},{n % 7},{t}\n" for n, t in enumerate(times)) + "u0,1,2026-01-09T10:00\n"
    )
    source = {"use": "files", "options": {"path": f"{tmp_path}/all.csv"}}
    columns = {"user": "user", "item": "item", "time": "time"}
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(tmp_path, {"source": source, "columns": columns})))
    text = "\n".join(check(str(plan))["text"])
    assert "o'clock UTC, none at 18, 19, 20, 21, 22, 23" in text
    assert "4 periods with rows: " in text and "; 5 periods between them without a row" in text
