"""Check: what `nightloop check` finds in files, of every format, and that it keeps nothing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import nightloop.flows.cli.main as cli
from nightloop.flows.check import check
from tests.flows.run_cli import here
from tests.flows.tiny_pipeline import raw_plan
from tests.sources.test_database import sqlite
from tests.sources.test_files import as_parquet, write

DAYS = range(1, 6)


def delivered(home: Path, ending: str, text: str, changes: dict[str, Any] | None = None) -> Path:
    """Five days of files of one text, in which {day} is the day, and a plan."""
    for day in DAYS:
        content = text.replace("{day}", f"2026-01-0{day}")
        (as_parquet if ending == "parquet" else write)(home / f"2026-01-0{day}.{ending}", content)
    columns = {"user": "user", "item": "item", "time": "time"}
    source = {"use": "files", "options": {"path": f"{home}/{{period}}.{ending}"}}
    plan = home / "plan.yaml"
    plan.write_text(
        yaml.safe_dump(raw_plan(home, {"pipeline": "looked", "source": source, "columns": columns, **(changes or {})}))
    )
    return plan


CSV = "user,item,time\n" + "".join(f"u{n},{n % 7},{{day}}T{n % 24:02d}:00\n" for n in range(60))
LINES = "".join(f'{{"user":"u{n}","item":{n % 7},"time":"{{day}}T{n % 24:02d}:00"}}\n' for n in range(60))


@pytest.mark.parametrize(("ending", "text"), [("csv", CSV), ("jsonl", LINES), ("parquet", CSV)])
def test_sound_files_are_described_and_nothing_is_kept(
    ending: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    plan = delivered(tmp_path, ending, text)
    here(monkeypatch, "check", str(plan), "--json")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code in (0, None) and found["sound"] and not found["problems"]
    sample = found["sample"]
    assert (sample["files"], len(sample["read"]), sample["notes"]["rows"]) == (5, 3, 180)
    assert sample["periods"] == [["2026-01-01", 60], ["2026-01-03", 60], ["2026-01-05", 60]]
    kinds = {name: [(kind["kind"], kind["different"]) for kind in found] for name, found in sample["texts"].items()}
    assert kinds == {"user": [("prefix_and_number", 60)], "item": [("whole_number", 7)]}
    assert not (tmp_path / "home").exists()
    whole = check(str(plan), True)
    assert whole["sample"]["notes"]["rows"] == 300 and "read: all rows of 5 files (300)" in whole["text"]


def test_of_a_database_the_first_period_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    place = sqlite(tmp_path / "shop.db")
    options = {"kind": "sqlite", "connection": place, "table": "plays"}
    plan = delivered(tmp_path, "csv", CSV, {"source": {"use": "database", "options": options}, "columns": {
        "user": "who", "item": "what", "time": "at"}})  # fmt: skip
    found = check(str(plan))
    assert "read: all rows of the first period (1)" in found["text"] and not (tmp_path / "home").exists()


def test_every_problem_of_the_rows_is_told(tmp_path: Path) -> None:
    changes = {"columns": {"user": "user", "item": "item", "time": "time", "label": "label"}, "model": {"use": "FM"},
               "strategies": {"still": {"use": "NoUpdate"}}}  # fmt: skip
    good = "".join(f"{n}.0,{n},{{day}}T10:00,{n % 2}\n" for n in range(40))
    bad = 'ann,"1,{day}T10:00,1\nann,2,soon,1\nann,3,{day}T10:00,2\nunknown,4,{day}T10:00,yes\nann,5,2025-12-31T10:00,maybe\nann,6,7\n'
    found = check(str(delivered(tmp_path, "csv", "user,item,time,label\n" + good + bad, changes)))
    said = "\n".join(found["text"])
    for part in (
        "0.0 (read as 0)", "soon (read as no time)", "before period 0 3", "a quote is opened and never closed",
        "label/values: 3 rows", "one of 0, 1, or a word for them: true, false, yes, no", "unreadable_number: 3 rows",
        "user/forbidden: 3 rows put aside (allowed is an id", "1 of 43 rows lie outside its period",
    ):  # fmt: skip
        assert part in said, f"{part!r} is missing in {said}"
    assert not found["sound"] and found["stops"] and "(?i)" not in said and "SELECT" not in said


def test_a_file_with_as_many_rows_as_a_program_exports_is_told(tmp_path: Path) -> None:
    """metabase 3810, dbx 3142: exports end after 10,000 rows. A file of more rows than the sample takes is not of so many."""
    for rows, told in ((10_000, True), (10_001, False), (40_000, False)):
        text = "user,item,time\n" + "".join(
            f"u{n % 977},{n % 89},{{day}}T{n % 24:02d}:{n % 60:02d}\n" for n in range(rows)
        )
        (tmp_path / str(rows)).mkdir()
        problems = check(str(delivered(tmp_path / str(rows), "csv", text)))["problems"]
        said = "2026-01-01.csv: 10,000 rows are the most that some programs export: were all rows exported?"
        assert any(said in text for text in problems) == told and told == any("most that" in text for text in problems)


def test_times_to_come_and_coarse_ones_are_told(tmp_path: Path) -> None:
    columns = {"columns": {"user": "user", "item": "item", "time": "time"}}
    (tmp_path / "digits").mkdir()
    said = check(str(delivered(tmp_path / "digits", "csv", "user,item,time\nann,1,4102444800\n", columns)))["problems"]
    assert any("the last time is 2100-01-01T00:00:00Z, which is still to come" in text for text in said)
    plan = delivered(tmp_path, "parquet", "user,item,time\nann,1,{day}T10:00\n", columns)
    for day in DAYS:
        times = pa.array([1767261600.0], pa.float32())
        pq.write_table(pa.table({"user": ["ann"], "item": [1], "time": times}), tmp_path / f"2026-01-0{day}.parquet")
    assert any("32-bit floats" in text for text in check(str(plan))["problems"])


def test_times_that_stand_for_none_are_told(tmp_path: Path) -> None:
    """A warehouse writes 9999-12-31 for an end that is open, and a program 0 for a time that it does not know."""
    plan = delivered(tmp_path, "csv", CSV + "ann,1,0\nbob,1,9999-12-31\n")
    found = check(str(plan))
    assert any(
        "the first time is 1970-01-01T00:00:00Z: is a time that is missing written as 0" in text
        for text in found["problems"]
    )
    assert any("the last time is 9999-12-31T00:00:00Z, which is still to come" in text for text in found["problems"])
    assert any("before period 0 3" in line and "after the last one of the calendar 3" in line for line in found["text"])


def test_times_beyond_those_of_python_are_told(tmp_path: Path) -> None:
    """They ended the check, and the night, with a traceback."""
    plan = delivered(tmp_path, "parquet", "user,item,time\nann,1,{day}T10:00\n")
    for day in DAYS:
        times = pa.array([2**62, int(datetime(2026, 1, day, 10, tzinfo=UTC).timestamp() * 1e6)], pa.timestamp("us"))
        pq.write_table(
            pa.table({"user": ["ann", "bob"], "item": [1, 2], "time": times}), tmp_path / f"2026-01-0{day}.parquet"
        )
    found = check(str(plan))
    assert any("(read as no time)" in line and "2026-01-01T10:00:00Z" in line for line in found["text"])
    assert any("unreadable_time: 3 rows" in text for text in found["problems"])


def test_a_period_is_told_from_what_follows_its_name(tmp_path: Path) -> None:
    source = {"use": "files", "options": {"path": f"{tmp_path}/{{period}}-*.csv"}}
    plan = delivered(tmp_path, "csv", CSV, {"source": source})
    for day in DAYS:
        (tmp_path / f"2026-01-0{day}.csv").rename(tmp_path / f"2026-01-0{day}-part-0.csv")
    assert check(str(plan))["problems"] == []


def test_ids_that_a_float_rounds_and_lists_that_are_none_are_told(tmp_path: Path) -> None:
    columns = {"user": "user", "item": "item", "time": "time", "categorical": ["tags"], "multi_value": {"tags": 3}}
    plan = delivered(tmp_path, "parquet", "user,item,time\nann,1,{day}T10:00\n", {"columns": columns})
    for tags, told in (("a b", True), ("a|b", False)):
        for day in DAYS:
            users, items = pa.array([2.0**24 - 2], pa.float32()), pa.array([2.0**53 - 1])
            table = pa.table({"user": users, "item": items, "time": [f"2026-01-0{day}T10:00"], "tags": [tags]})
            pq.write_table(table, tmp_path / f"2026-01-0{day}.parquet")
        found = check(str(plan))["problems"]
        assert not any("floats" in text for text in found)
        assert any("no row of the column tags has several values, such as 'a b'" in text for text in found) is told
    pq.write_table(table.set_column(0, "user", pa.array([2.0**24 + 2], pa.float32())), tmp_path / "2026-01-01.parquet")
    with pytest.raises(ValueError, match="'user' holds the number 16777218 as a float of 32 bits"):
        check(str(plan))


@pytest.mark.parametrize(("ending", "text"), [("csv", CSV), ("jsonl", LINES), ("parquet", CSV)])
def test_ids_in_two_unicode_forms_are_told(ending: str, text: str, tmp_path: Path) -> None:
    text = (
        text.replace("u1,", "Jos\u00e9,")
        .replace("u2,", "Jose\u0301,")
        .replace('"u1"', '"Jos\u00e9"')
        .replace('"u2"', '"Jose\u0301"')
    )
    found = check(str(delivered(tmp_path, ending, text)))
    assert any("'Jose\\u0301' and 'Jos\\xe9' look alike and are two users" in text for text in found["problems"])
    assert sum(kind["different"] for kind in found["sample"]["texts"]["user"]) == 60 and not found["stops"]


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_times_without_a_zone_are_shown_as_they_are_read(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        plan = delivered(tmp_path, "parquet", "user,item,time\nann,1,{day}T10:00\n")
        for day in DAYS:
            at = pa.array([datetime(2026, 1, day, 10)], pa.timestamp(unit))
            pq.write_table(pa.table({"user": ["ann"], "item": [1], "time": at}), tmp_path / f"2026-01-0{day}.parquet")
        assert any("times: 2026-01-01T10:00:00Z, 2026-01-03T10:00:00Z" in line for line in check(str(plan))["text"])
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_large_file_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightloop.tasks.inspection.sample.MOST", 60)
    found = check(str(delivered(tmp_path, "csv", CSV)))
    assert found["sample"]["notes"]["rows"] == 60 and found["sample"]["notes"]["cut"]
    assert "60 rows of 3 of 5 files" in found["text"][0]


def test_what_is_in_the_logs_does_nothing_in_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("nightloop.flows.check.show_markdown", lambda key, title, text: shown.append(text))
    users = ["![p](https://evil.example/p.png)", "[reset](https://evil.example)", "<img src=//evil.example/a>"]
    check(str(delivered(tmp_path, "csv", "user,item,time\n" + "".join(f"{user},1,{{day}}T10:00\n" for user in users))))
    assert "evil.example" in shown[0] and "<img" not in shown[0] and "https://" not in shown[0]
    assert "](" not in shown[0].replace("\\](", "")


def test_what_cannot_be_read_at_all_is_one_sentence(tmp_path: Path) -> None:
    plan = delivered(tmp_path, "csv", "who;what\n1;2\n")
    with pytest.raises(ValueError, match="no column 'user'; its columns are 'who', 'what'"):
        check(str(plan))
    for file in tmp_path.glob("*.csv"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match="no file"):
        check(str(plan))


@pytest.mark.parametrize(("numbers", "told"), [
    (("2.155", "1.008", "6"), True), (("2.155", "1.08"), False), (("2155", ""), False), (("0.155", "2.155"), False),
])  # fmt: skip
def test_points_that_may_separate_thousands_are_told(tmp_path: Path, numbers: tuple[str, ...], told: bool) -> None:
    """A German report (meta-csv 5) writes 2155 cases as 2.155, which is 2.155 in a file without the option decimal."""
    columns = {"columns": {"user": "user", "item": "item", "time": "time", "numeric": ["cases"]}}
    text = "user,item,time,cases\n" + "".join(f"u{n},{n},{{day}}T10:00,{number}\n" for n, number in enumerate(numbers))
    found = check(str(delivered(tmp_path, "csv", text, columns)))["problems"]
    assert any("column cases have three digits behind it, such as '2.155'" in text for text in found) is told


@pytest.mark.parametrize(("times", "told"), [
    (("10:00:00Z", "11:00:00"), True), (("10:00:00.5+01:00", "11:00"), True), (("10:00:00-05", "11:00:00.000"), True),
    (("10:00:00Z", "11:00:00+0100", "12:00 UTC", "12:00:00 Europe/Paris"), False), (("10:00", "11:00:00"), False),
    (("10:00:00 UTC", "15:30:00 UTC+05:30", "15:00:00 Etc/GMT-5", "06:00:00 America/Port-au-Prince"), False),
])  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_times_with_an_offset_beside_others_without_one_are_told(
    tmp_path: Path, ending: str, times: tuple[str, ...], told: bool
) -> None:
    """rucio-sense-dmm 31, food4kids 257: one column with UTC of some rows and the local time of others."""
    rows = [{"user": f"u{n}", "item": str(n), "time": f"{{day}}T{time}"} for n, time in enumerate(times)]
    text = "user,item,time\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    if ending == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    found = check(str(delivered(tmp_path, ending, text)))["problems"]
    assert any("some times have an offset from UTC, such as " in text for text in found) is told


def test_files_of_times_with_a_zone_beside_others_without_one_are_told(tmp_path: Path) -> None:
    """hardwood 584: the flag isAdjustedToUTC of Parquet, true in one file and false in another."""
    plan = delivered(tmp_path, "parquet", CSV)
    for day in DAYS:
        at = datetime(2026, 1, day, 10, tzinfo=UTC if day == 1 else None)
        pq.write_table(pa.table({"user": ["ann"], "item": [1], "time": [at]}), tmp_path / f"2026-01-0{day}.parquet")
    told = "some times have an offset from UTC, such as '2026-01-01 10:00:00.000000Z', and others have none, such as '2026-01-03 10:00:00"
    assert any(told in text for text in check(str(plan))["problems"])
