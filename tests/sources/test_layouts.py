"""Layouts: folders, names and dialects in which files lie, and columns that some of them lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import csv, jsonl, parquet
from tests.sources.test_files import HEADER, LINES, PLAN, as_parquet, reasons, users, write


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("layouts")) as warehouse:
        yield warehouse


def test_names_that_writers_set_apart_are_passed_over(pond: Warehouse, tmp_path: Path) -> None:
    for name in (
        "part-0.csv",
        "_SUCCESS",
        ".part-1.csv.crc",
        "_temporary/part-9.csv",
        ".hidden/part-9.csv",
        "deep/er/part-1.csv",
    ):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "d" / name, HEADER + f"{name},1,2026-01-01T10:00\n")
    landing = land_period(pond, Files(f"{tmp_path}/d/**/part-*.csv"), PLAN, day(0))
    assert users(pond, landing) == ["part-0.csv", "deep/er/part-1.csv"]
    asked = land_period(pond, Files(f"{tmp_path}/d/_temporary/*.csv"), PLAN, day(0))
    assert users(pond, asked) == ["_temporary/part-9.csv"]
    with pytest.raises(FileNotFoundError, match=r"is a directory: name the files in it, such as .*/d/\*\*/\*.parquet"):
        land_period(pond, Files(f"{tmp_path}/d"), PLAN, day(0))
    for name in (
        ".snap-2/part-1.csv",
        ".snap-1/deep/_temporary/0/part-2.csv",
        ".snap-1/deep/.staging/part-3.csv",
        ".snap-1/part-4.csv",
    ):
        (tmp_path / "e" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "e" / name, HEADER + f"{name},1,2026-01-01T10:00\n")
    for path in (".snap-1/**/*.csv", "../e/.snap-1/**/*.csv", "../*/.snap-1/**/*.csv", "*/../.snap-1/**/*.csv"):
        named = land_period(pond, Files(f"{tmp_path}/e/{path}"), PLAN, day(0))
        assert users(pond, named) == [".snap-1/part-4.csv"]
    (tmp_path / "only").mkdir()
    write(tmp_path / "only" / "_SUCCESS", "")
    with pytest.raises(FileNotFoundError, match=r"names that begin with _ or \. are passed over"):
        land_period(pond, Files(f"{tmp_path}/only/*"), PLAN, day(0))


def test_a_relative_path_may_begin_with_a_wildcard(
    pond: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    write(tmp_path / "shop" / "2026-01-01.csv", HEADER + "ann,1,2026-01-01T10:00\n")
    monkeypatch.chdir(tmp_path)
    source = Files("*/{period}.csv")
    assert users(pond, land_period(pond, source, PLAN, day(0))) == ["ann"]
    assert [source.period_of(file) for file in source.files(pond)] == ["2026-01-01"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_a_path_says_of_all_rows_is_read(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    columns = Columns(user="user", item="item", time="time", categorical=("country", "hour"))
    for place, row in (("country=NO", "ann,1,2026-01-01T10:00"), ("country=New%20Zealand", "bob,2,2026-01-01T11:00"),
                       ("country=__HIVE_DEFAULT_PARTITION__", "cat,3,2026-01-01T12:00")):  # fmt: skip
        folder = tmp_path / "2026-01-01" / place / "other=EVIL" / "line=x" / "hour=7"
        folder.mkdir(parents=True)
        text = HEADER + row + "\n"
        if ending == "jsonl":
            user, item, time = row.split(",")
            text = f'{{"user":"{user}","item":{item},"time":"{time}"}}\n'
        (as_parquet if ending == "parquet" else write)(folder / f"part-0.{ending}", text)
    source = Files(f"{tmp_path}/{{period}}/**/*.{ending}")
    landing = land_period(pond, source, plan(columns), day(0))
    found = pond.connection.execute(
        'SELECT "user", country, "hour" FROM logs WHERE period = 0 AND version = $1 ORDER BY "user"', [landing.version]
    ).fetchall()
    assert found == [("ann", "NO", "7"), ("bob", "New Zealand", "7"), ("cat", None, "7")]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_path_and_a_file_that_say_what_a_column_is(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    """polars 12041: Spark, Hive and DuckDB take the value of the path, pandas that of the file, without a word if they differ."""
    columns = Columns(user="user", item="item", time="time", categorical=("country",), numeric=("price",))

    def landed(folder: str, country: str | None, price: float | None) -> list[tuple[object, ...]]:
        row = {"user": "ann", "item": 1, "time": "2026-01-01T10:00", "country": country, "price": price}
        contents = {
            "csv": csv(f"{','.join(row)}\n{','.join('' if v is None else str(v) for v in row.values())}\n"),
            "jsonl": jsonl(row),
            "parquet": parquet(**{name: [value] for name, value in row.items()}),
        }
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"a.{ending}").write_bytes(contents[ending])
        landing = land_period(pond, Files(f"{tmp_path}/{folder}/*.{ending}".replace("=", "?")), plan(columns), day(0))
        found = 'SELECT "user", country, price FROM logs WHERE period = 0 AND version = $1'
        return pond.connection.execute(found, [landing.version]).fetchall()

    assert landed("same/country=NO/price=2.50/time=2026-01-01", "NO", 2.5) == [("ann", "NO", 2.5)]
    assert landed("empty/country=NO/price=2.5", None, None) == [("ann", "NO", 2.5)]
    assert landed("none/country=__HIVE_DEFAULT_PARTITION__", "NO", 2.5) == [("ann", "NO", 2.5)]
    for folder in ("country=SE", "price=3/country=NO", "user=bob"):
        with pytest.raises(
            ValueError, match=rf"a row in the folder '{folder.partition('/')[0]}' has '(NO|2.5|ann)' in its column"
        ):
            landed(f"other/{folder}", "NO", 2.5)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_feature_that_older_files_lack_is_null_there_and_a_misspelt_one_is_a_mistake(
    pond: Warehouse, tmp_path: Path, ending: str
) -> None:
    for number, feature in enumerate(("", "device", "device")):
        names = "user,item,time" + (f",{feature}" if feature else "")
        row = f"ann,1,2026-01-0{number + 1}T10:00" + (",phone" if feature else "")
        text = f"{names}\n{row}\n"
        if ending == "jsonl":
            text = json.dumps(dict(zip(names.split(","), row.split(","), strict=True))) + "\n"
        (as_parquet if ending == "parquet" else write)(tmp_path / f"2026-01-0{number + 1}.{ending}", text)
    for path in (f"{tmp_path}/{{period}}.{ending}", f"{tmp_path}/*.{ending}"):
        columns = Columns(user="user", item="item", time="time", categorical=("device",))
        versions = [land_period(pond, Files(path), plan(columns), day(n)).version for n in (0, 1)]
        read = "SELECT device FROM logs WHERE period = $1 AND version = $2"
        assert [pond.connection.execute(read, [n, v]).fetchall() for n, v in enumerate(versions)] == [
            [(None,)],
            [("phone",)],
        ]
        with pytest.raises(ValueError, match="no column 'devise'"):
            land_period(pond, Files(path), plan(columns.model_copy(update={"categorical": ("devise",)})), day(0))
        with pytest.raises(ValueError, match="no column 'who'"):
            land_period(pond, Files(path), plan(columns.model_copy(update={"user": "who"})), day(0))


def test_a_link_that_leads_nowhere_is_no_smaller_delivery(pond: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / "2026-01-01-a.csv", HEADER + LINES)
    for link, path in (
        ("2026-01-01-b.csv", "{period}-*.csv"),
        ("elsewhere", "*/x.csv"),
        ("2026-01-01.csv", "{period}.csv"),
    ):
        (tmp_path / "parts" / link).symlink_to("/not/mounted")
        with pytest.raises(FileNotFoundError, match="symbolic link to a file that does not exist"):
            land_period(pond, Files(f"{tmp_path}/parts/{path}"), PLAN, day(0))
        (tmp_path / "parts" / link).unlink()


def test_a_file_that_is_read_line_by_line_tells_of_the_lines_that_follow(pond: Warehouse, tmp_path: Path) -> None:
    """Many quotes that are never closed, in a large file: each costs its own line, and none of the others."""
    body = "".join(
        f'"u{n},{n},2026-01-01T10:00\n' if n % 7 == 3 else f"u{n},{n},2026-01-01T10:00\n" for n in range(20_000)
    )
    landing = land_period(pond, Files(str(write(tmp_path / "a.csv", HEADER + body))), PLAN, day(0))
    assert users(pond, landing) == [f"u{n}" for n in range(20_000) if n % 7 != 3]
    aside = reasons(pond, landing)
    assert len(aside) == len(range(3, 20_000, 7)) and "a.csv:5: " in aside[0][1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"quote": '""'}, "must be one ASCII character"), ({"encoding": "utf-9"}, "must be one that Python knows"),
        ({"header": False}, "say what the columns are called"), ({"names": ("a", "a")}, "names has a name twice"),
        ({"comment": "//"}, "must be one ASCII character"),
    ],
)  # fmt: skip
def test_a_dialect_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Files("a.csv", **options)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_without_a_row_of_the_period_say_what_they_hold(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    text = HEADER + LINES
    if ending == "jsonl":
        text = "".join(
            json.dumps(dict(zip(("user", "item", "time"), line.split(","), strict=True))) + "\n"
            for line in LINES.split()
        )
    (as_parquet if ending == "parquet" else write)(tmp_path / f"a.{ending}", text)
    found = land_period(pond, Files(f"{tmp_path}/a.{ending}"), PLAN, day(40))
    assert found.rows == 0
    assert (
        "none of its 3 rows lies in the period; its times go from 2026-01-01 10:00 to 2026-01-02 10:00 UTC"
        in found.remark
    )
    assert land_period(pond, Files(f"{tmp_path}/a.{ending}"), PLAN, day(0)).remark == ""


def test_files_of_two_types_keep_their_ids_and_times_or_are_refused(pond: Warehouse, tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, 10)

    def delivered(folder: str, *tables: dict[str, Any]) -> Landing:
        for number, table in enumerate(tables):
            (tmp_path / folder / f"c={number}").mkdir(parents=True)
            pq.write_table(pa.table(table), tmp_path / folder / f"c={number}" / "a.parquet")
        return land_period(pond, Files(f"{tmp_path}/{folder}/*/*.parquet"), PLAN, day(0))

    long, short = pa.array([16777217, 9007199254740993]), pa.array([1.0, 2.0], pa.float32())
    landing = delivered(
        "ids", {"user": long, "item": [1, 2], "time": [at, at]}, {"user": short, "item": [3, 4], "time": [at, at]}
    )
    assert {*users(pond, landing)} == {"16777217", "9007199254740993", "1", "2"}
    days = {"user": ["ann"], "item": [1], "time": pa.array([at], pa.date32())}
    landing = delivered("times", days, {"user": ["bob"], "item": [2], "time": pa.array([at], pa.timestamp("us"))})
    found = pond.connection.execute(
        "SELECT hour(time) FROM logs WHERE period = 0 AND version = $1 ORDER BY arrival", [landing.version]
    )
    assert found.fetchall() == [(0,), (10,)]
    with pytest.raises(ValueError, match="write their times in two types"):
        delivered(
            "mixed", {"user": ["bob"], "item": [2], "time": [at]}, {"user": ["ann"], "item": [1], "time": [1767261600]}
        )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_time_that_only_the_path_says_is_refused(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "dt=2026-01-01"
    folder.mkdir()
    text = '{"user":"ann","item":1}\n' if ending == "jsonl" else "user,item\nann,1\n"
    (as_parquet if ending == "parquet" else write)(folder / f"a.{ending}", text)
    columns = PLAN.columns.model_copy(update={"time": "dt"})
    with pytest.raises(ValueError, match="stands in the path alone"):
        land_period(pond, Files(f"{tmp_path}/*/a.{ending}"), plan(columns), day(0))


def test_a_name_that_looks_like_a_pattern_is_the_file_of_that_name(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "d[1].csv", HEADER + "ann,1,2026-01-01T10:00\n")
    write(tmp_path / "d1.csv", HEADER + "eve,1,2026-01-01T10:00\n")
    assert users(pond, land_period(pond, Files(f"{tmp_path}/d[1].csv"), PLAN, day(0))) == ["ann"]


def test_a_file_that_two_paths_name_is_read_once(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", HEADER + "ann,1,2026-01-01T10:00\n")
    source = Files((f"{tmp_path}/*.csv", f"{tmp_path}/a.csv"))
    assert land_period(pond, source, PLAN, day(0)).rows == 1 and len(source.files(pond)) == 1
