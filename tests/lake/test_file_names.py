"""Names of files: each is read as it is spelt and once, none leads out of its place, and nothing is fetched from elsewhere."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake
from tests.s3_servers import Server
from tests.sources.test_files import HEADER, PLAN, users, write

HOSTILE = (
    "[ab].csv", "*.csv", "a?b.csv", "{a,b}.csv", "[!a].csv", "[a-z].csv", "[a.csv", "a].csv", "**.csv", "[[]ab].csv",
    "it's.csv", 'a"b.csv', "a\\b.csv", "-x.csv", "--.csv", " a .csv", "a\nb.csv", "~.csv", "$HOME.csv", "%41.csv",
    "a;b.csv", "file:a.csv", "é.csv", "\u202ecsv.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("names")) as warehouse:
        yield warehouse


def row(user: str) -> str:
    return f"{user},1,2026-01-01T10:00\n"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_each_file_of_an_inbox_is_read_once_whatever_its_name(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    names = [
        "a.csv",
        "b.csv",
        "ab.csv",
        "axb.csv",
        "z.csv",
        *(name for name in HOSTILE if not (ending and "?" in name)),
    ]
    for number, name in enumerate(names):
        write(tmp_path / f"{name}{ending}", HEADER + row(f"u{number}"))
    landing = land_period(pond, Files(f"{tmp_path}/*.csv{ending}"), PLAN, day(0))
    assert sorted(users(pond, landing)) == sorted(f"u{n}" for n in range(len(names))) and landing.rows == len(names)


@pytest.mark.parametrize("name", ["conflict", "is locked", "concurrent", "already exists"])
def test_a_damaged_file_may_have_a_name_of_what_is_retried(pond: Warehouse, tmp_path: Path, name: str) -> None:
    """DuckDB's error names the file, and was taken for one of another writer of the lake."""
    (tmp_path / f"{name}.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=f"{name}.parquet is not a complete Parquet file"):
        land_period(pond, Files(f"{tmp_path}/*.parquet"), PLAN, day(0))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_formats_too(pond: Warehouse, tmp_path: Path, kind: str) -> None:
    for user, name in enumerate(("a", "b", "[ab]", "*", "?")):
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"user": [str(user)], "item": ["1"], "time": ["2026-01-01T10:00"]}), path)
        else:
            write(path, f'{{"user": "{user}", "item": 1, "time": "2026-01-01T10:00"}}\n')
    landing = land_period(pond, Files(f"{tmp_path}/*.{kind}"), PLAN, day(0))
    assert sorted(users(pond, landing)) == list("01234") and landing.rows == 5


def test_a_line_that_does_not_parse_is_told_by_the_files_own_name(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "2026-01-01[a].csv", HEADER + row("ann") + "bob\n")
    landing = land_period(pond, Files(f"{tmp_path}/{{period}}*.csv"), PLAN, day(0))
    asked = {"version": landing.version}
    (raw,) = pond.connection.execute("SELECT raw FROM quarantine WHERE version = $version", asked).fetchall()
    assert users(pond, landing) == ["ann"] and "2026-01-01[a].csv:3: " in raw[0]


def test_a_home_may_have_any_name_too(tmp_path: Path) -> None:
    (tmp_path / "[ab]*?").mkdir()
    with lake(tmp_path / "[ab]*?") as warehouse:
        source = Files(str(write(tmp_path / "x.csv", HEADER + row("ann"))))
        assert users(warehouse, land_period(warehouse, source, PLAN, day(0))) == ["ann"]


def test_a_name_that_is_no_text_is_refused_by_name(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", HEADER + row("ann"))
    bad = os.path.join(os.fsencode(tmp_path), b"b\xff.csv")
    with open(bad, "w") as file:
        file.write(HEADER + row("bob"))
    with pytest.raises(ValueError, match=r"b\\xff\.csv: the file's name is not UTF-8: rename it"):
        land_period(pond, Files(f"{tmp_path}/*.csv"), PLAN, day(0))


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An inbox with a file, beside a secret."""
    write(tmp_path / "secret", "of all:x:0:0\nuser:x:1:1\n")
    (tmp_path / "inbox").mkdir()
    write(tmp_path / "inbox" / "2026-01-01.csv", HEADER + row("ann"))
    return tmp_path / "inbox"


@pytest.mark.parametrize(
    "pattern", ["*.csv", "2026*", "2026-01-01?.csv", "*/*.csv", "**/*.csv", "{period}b.csv", "{period}/x.csv"]
)
@pytest.mark.parametrize("target", ["../secret", "{outside}/secret"])
def test_a_link_that_leads_out_of_an_inbox_is_refused(pond: Warehouse, inbox: Path, pattern: str, target: str) -> None:
    target = target.replace("{outside}", str(inbox.parent))
    (inbox / "2026-01-01b.csv").symlink_to(target)
    (inbox / "2026-01-01").symlink_to(inbox.parent)
    write(inbox.parent / "x.csv", HEADER + row("eve"))
    before = pond.latest()
    with pytest.raises(ValueError, match="is a symbolic link that leads out of") as caught:
        land_period(pond, Files(f"{inbox}/{pattern}", format="csv"), PLAN, day(0))
    assert "x:0:0" not in str(caught.value) and pond.latest() == before


def test_links_within_an_inbox_and_places_that_a_plan_names_are_read(pond: Warehouse, inbox: Path) -> None:
    (inbox / "again").mkdir()
    (inbox / "again" / "b.csv").symlink_to("../2026-01-01.csv")
    (inbox.parent / "elsewhere").symlink_to(inbox)
    (inbox.parent / "file.csv").symlink_to(inbox / "2026-01-01.csv")
    for path in ("inbox/*/*.csv", "elsewhere/*.csv", "elsewhere/{period}.csv", "file.csv"):
        assert users(pond, land_period(pond, Files(f"{inbox.parent}/{path}"), PLAN, day(0))) == ["ann"]


def test_what_is_no_regular_file_is_refused_and_not_waited_for(pond: Warehouse, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "2026-01-01.csv")
    for pattern in ("*.csv", "{period}.csv", "2026-01-01.csv"):
        with pytest.raises((ValueError, FileNotFoundError), match=r"is not a regular file|no file"):
            land_period(pond, Files(f"{tmp_path}/{pattern}"), PLAN, day(0))


@pytest.mark.parametrize("name", ["a\\*b.csv", "[a\\b.csv", "a?b.csv.gz", "a?b.jsonl.zst"])
def test_a_name_that_cannot_be_read_right_is_refused(pond: Warehouse, tmp_path: Path, name: str) -> None:
    for other in (name, f"z{name[-6:].replace('?', '')}"):
        write(tmp_path / other, HEADER + row("ann"))
    with pytest.raises(ValueError, match="rename it") as caught:
        land_period(pond, Files(f"{tmp_path}/*"), PLAN, day(0))
    assert repr(name)[1:-1] in str(caught.value)


def test_a_missing_extension_is_named_with_its_wheel_and_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, con: object) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setenv("HOME", str(tmp_path))  # where DuckDB keeps the extensions that it has
    monkeypatch.setattr("nightloop.tasks.lake.extensions.import_extension", absent)
    with (
        pytest.raises(RuntimeError, match=r"pip install duckdb-extension-ducklake==\d+\.\d+\.\d+"),
        lake(tmp_path / "x"),
    ):
        pass
    assert not (tmp_path / ".duckdb").exists()


def test_names_on_s3_are_read_as_they_are_spelt_too(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for number, name in enumerate(("a.csv", "b.csv", "[ab].csv", "*.csv", "[a.csv")):
        body = (HEADER + row(f"u{number}")).encode()
        moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}", Body=body)
    with Warehouse.open(moto.settings("", tmp_path), "pond", moto.credentials) as warehouse:
        landing = land_period(warehouse, Files(f"{bucket}/in/*.csv"), PLAN, day(0))
        assert sorted(users(warehouse, landing)) == ["u0", "u1", "u2", "u3", "u4"]


def test_a_file_on_s3_whose_lines_are_out_of_order_is_read_line_by_line_too(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    body = (HEADER + row("u0") + '"u1,1,2026-01-01T10:00\r\n' + row("u2")).encode()
    for name, data in (("a.csv", body), ("b.csv.gz", gzip.compress(body))):
        moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}", Body=data)
    with Warehouse.open(moto.settings("", tmp_path), "pond", moto.credentials) as warehouse:
        landing = land_period(warehouse, Files(f"{bucket}/in/*"), PLAN, day(0))
        assert sorted(users(warehouse, landing)) == ["u0", "u2"] and landing.rows == 6


def test_a_file_on_s3_that_is_cut_off_or_has_an_endless_line_is_refused_as_on_disk(
    moto: Server, tmp_path: Path
) -> None:
    bucket = moto.bucket()
    many = (HEADER + "".join(row(f"u{n}") for n in range(20_000))).encode()
    packed, endless = gzip.compress(many), gzip.compress(many + b"x" * (40 << 20) + b"\n" + many)
    cases = {
        "cut.csv.gz": (packed[: len(packed) // 2], "cut off"), "endless.csv.gz": (endless, "has a line of more than"),
        "wide.csv": (many + b"x" * (40 << 20) + b"\n", "has a line of more than"), "page.csv": (b"<html></html>", "a web page"),
        "wide.jsonl": (b'{"user":"' + b"x" * (40 << 20) + b'"}\n', "has a line of more than"),
    }  # fmt: skip
    with Warehouse.open(moto.settings("", tmp_path), "pond", moto.credentials) as warehouse:
        for name, (data, said) in cases.items():
            moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}", Body=data)
            with pytest.raises(ValueError, match=said):
                land_period(warehouse, Files(f"{bucket}/in/{name}"), PLAN, day(0))
        assert not warehouse.latest()
        wide = (HEADER + row("u0") + row("u1")).encode("utf-16")
        moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key="in/wide16.csv", Body=wide)
        assert sorted(users(warehouse, land_period(warehouse, Files(f"{bucket}/in/wide16.csv"), PLAN, day(0)))) == [
            "u0",
            "u1",
        ]
