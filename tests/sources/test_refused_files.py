"""Files that are refused because one reading of them is as good as another, and places that files are not read from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.formats.stray_quotes import has_irregular_row
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns, Part
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import AT, csv, jsonl, parquet

HEAD = "user,item,time"
ANN = {"user": "ann", "item": 1, "time": AT}
ROW = {"user": ["ann"], "item": [1], "time": [AT], "device": ["x"]}
COLUMNS = Columns(user="user", item="item", time="time")
DEVICE = Columns(user="user", item="item", time="time", categorical=("device",), multi_value={"device": 3})


def named(*names: str) -> bytes:
    """A Parquet file with columns of these names, two of one name too, and those that a plan needs."""
    every, sink = [*names, *(name for name in ("user", "item", "time", "device") if name not in names)], BytesIO()
    pq.write_table(
        pa.Table.from_arrays([pa.array([AT if name == "time" else name]) for name in every], names=every), sink
    )
    return sink.getvalue()


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("refused")) as warehouse:
        yield warehouse


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        # csvkit 245 and 688, qsv 527: joined files whose columns are in another order
        ("a.csv", csv(f"{HEAD},device\nann,1,{AT},x\nitem, user, time,device\n2,bob,{AT},y\n"), "again, and 'item' where 'user'"),
        ("a.csv", csv(f"{HEAD},device\nann,1,{AT},x\ndevice,item,time,user\ny,2,{AT},bob\n"), "again, and 'device' where 'user'"),
        # csvkit 888: joined files of which one has another column in the same place
        ("a.csv", csv(f"{HEAD},device\nann,1,{AT},x\nuser,item,time,country\nbob,2,{AT},NO\n"), "'country' where 'device' stood"),
        # duckdb 11152: the first of two values is taken here, the last one elsewhere
        ("a.jsonl", jsonl(f'{{"user": "ann", "item": 1, "time": "{AT}", "user": "bob", "device": "x"}}'), "'user' twice in one object"),
        ("a.jsonl", jsonl({**ANN, "device": "x"}, {**ANN, "Device": "y"}), "'device' in some objects and 'Device' in others"),
        ("a.jsonl", jsonl({**ANN, "user": ["a"], "device": "x"}), "as `multi_value: {NAME: 5}`"),
        ("a.jsonl.gz", jsonl({**ANN, "device": "x"}), "a.jsonl.gz is not packed, although its name ends with .gz"),
        # cloudflare-docs 29117: Google Cloud Storage unpacks what is downloaded, and leaves the name
        ("a.csv.gz", csv(f"{HEAD},device\nann,1,{AT},x\n"), "a.csv.gz is not packed, although its name ends with .gz"),
        ("a.csv.zst", csv(f"{HEAD},device\nann,1,{AT},x\n"), "a.csv.zst is not packed, although its name ends with .zst"),
        ("a.csv.gz", b"<!doctype html><title>no</title>", "a.csv.gz is a web page"),
        ("a.parquet", named("user", "user"), "has two columns 'user'"),
        ("a.parquet", named("device", "device"), "has two columns 'device'"),
        ("a.parquet", named("user", "User"), "names differ in upper and lower case alone.*: 'user', 'User'"),
        ("a.parquet", named("DEVICE", "device"), "names differ in upper and lower case alone.*: 'DEVICE', 'device'"),
        # duckdb 25058: decimals of more than 38 digits are read as other numbers
        ("a.parquet", parquet(**{**ROW, "user": pa.array([Decimal(12)], pa.decimal256(39, 0))}), "decimals of 39 digits"),
        ("a.parquet", parquet(**{**ROW, "device": pa.array([[Decimal(1)]], pa.list_(pa.decimal256(76, 38)))}), "of 76 digits"),
        # RecBole 1653, mmdetection3d 296: times in floats of 32 bits are up to two minutes off
        ("a.parquet", parquet(**{**ROW, "time": pa.array([1.767e9], pa.float32())}), r"such as '1767.*not as floats of 32 bits"),
        # pandas 48170: of neighbours one number is made
        ("a.parquet", parquet(**{**ROW, "user": pa.array([16777217.0], pa.float32())}), "the number 16777216 as a float of 32"),
        ("a.parquet", parquet(**{**ROW, "item": pa.array([1234567890123456789.0])}), r"the number 1234567890123456768 as a float of 64"),
        ("a.parquet", parquet(user=pa.array([b"ann"]), item=[1], time=[AT], device=["x"]), "bytes become text by a cast"),
    ],
)  # fmt: skip
def test_a_file_that_can_be_read_in_two_ways(
    pond: Warehouse, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says):
        land_period(pond, Files(str(tmp_path / name)), plan(DEVICE), day(0))


def test_columns_of_one_name_that_no_plan_needs_are_no_hindrance(pond: Warehouse, tmp_path: Path) -> None:
    """DuckDB calls the second one x_1, also if the file has a column of that name."""
    path = tmp_path / "a.parquet"
    path.write_bytes(named("x", "X", "x", "x_1"))
    assert land_period(pond, Files(str(path)), plan(COLUMNS), day(0)).rows == 1
    assert Files(str(path)).names_in(pond, str(path)) == ["x", "X", "x", "x_1", "user", "item", "time", "device"]
    with pytest.raises(ValueError, match=r"or in a number: .*'x_1'\. They cannot be told apart: rename one"):
        land_period(
            pond, Files(str(path)), plan(DEVICE.model_copy(update={"categorical": ("x_1",), "multi_value": {}})), day(0)
        )


def test_a_line_of_many_keys_needs_little_memory(tmp_path: Path) -> None:
    """The keys of an object are not compared each with each: 8,000 of them needed more than 500 MB."""
    many, text = {f"k{number}": number for number in range(8_000)}, f'"user": "ann", "item": 1, "time": "{AT}"'
    file = tmp_path / "a.jsonl"
    with lake(tmp_path, memory="200MB") as warehouse:
        file.write_bytes(jsonl({**ANN, **many}, {**ANN, "k7": [1], "K9": 1}))
        assert land_period(warehouse, Files(str(file)), plan(COLUMNS), day(0)).rows == 2
        (keys,) = warehouse.scan(("ingest/json_keys", {"files": [str(file)], "most": 9}))
        found = {row["name"]: row for row in keys.to_pylist()}
        assert (
            len(found) == 8_004 and found["k7"]["example"] == "[1]" and not any(row["beside"] for row in found.values())
        )
        file.write_bytes(jsonl(f'{{{text}, "K1": 1, "user": "bob", {str(many)[1:-1]}}}'.replace("'", '"')))
        (keys,) = warehouse.scan(("ingest/json_keys", {"files": [str(file)], "most": 9}))
        assert [row["name"] for row in keys.to_pylist() if row["twice"]] == ["user"]
        assert [row["name"] for row in keys.to_pylist() if row["beside"]] == ["K1", "k1", "user"]
        with pytest.raises(ValueError, match="'user' twice in one object"):
            land_period(warehouse, Files(str(file)), plan(COLUMNS), day(0))


def test_keys_of_two_cases_in_one_object_are_two_keys(pond: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl({**ANN, "User": "x"}, {**ANN, "user": "bob", "item": 2}))
    assert land_period(pond, Files(str(tmp_path / "a.jsonl")), plan(COLUMNS), day(0)).rows == 2


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_feature_that_is_written_in_another_case_is_not_missing(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    """SPARK-25132: the column of older files would be null without a word."""
    for n, name in enumerate(("Device", "device")):
        row = {**ANN, name: "x"}
        text = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"
        table = parquet(**{key: [value] for key, value in row.items()})
        (tmp_path / f"2026-01-01-{n}.{ending}").write_bytes(
            {"csv": csv(text), "jsonl": jsonl(row), "parquet": table}[ending]
        )
    source = Files(f"{tmp_path}/{{period}}-*.{ending}")
    with pytest.raises(
        ValueError, match=r"-0\..*calls the column 'device' of the newest file 'Device': give it one name"
    ):
        land_period(pond, source, plan(DEVICE), day(0))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_folder_whose_key_is_written_in_another_case_is_not_missing(
    pond: Warehouse, tmp_path: Path, ending: str
) -> None:
    """SPARK-28054: one writer lays folders out as Device=x, and the next one as device=x."""
    contents = {
        "csv": csv(f"{HEAD}\nann,1,{AT}\n"),
        "jsonl": jsonl(ANN),
        "parquet": parquet(user=["ann"], item=[1], time=[AT]),
    }
    for folder in ("Device=x", "device=y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a.{ending}").write_bytes(contents[ending])
    with pytest.raises(
        ValueError, match=r"Device=x.*calls the column 'device' of the newest file 'Device': give it one name"
    ):
        land_period(pond, Files(f"{tmp_path}/*/a.{ending}"), plan(DEVICE), day(0))


def test_two_folders_that_say_what_a_column_is(pond: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "device=x" / "device=y").mkdir(parents=True)
    (tmp_path / "device=x" / "device=y" / "a.csv").write_bytes(csv(f"{HEAD}\nann,1,{AT}\n"))
    with pytest.raises(ValueError, match="two folders say what 'device' is: rename one"):
        land_period(pond, Files(f"{tmp_path}/**/a.csv"), plan(DEVICE), day(0))


@pytest.mark.parametrize("path", ["*.csv", "2026-01-0?.csv", "{period}*.csv"])
def test_a_folder_among_files_is_not_left_out(pond: Warehouse, tmp_path: Path, path: str) -> None:
    """pgcolumnar 114: Spark and Dask write a folder 2026-01-01.csv where others write a file. Without a file it is no mistake to look
    into, and neither is one whose name a pattern for files does not have."""
    (tmp_path / "2026-01-01b.csv").mkdir()
    (tmp_path / "archive").mkdir()
    for name in ("2026-01-01.csv", "2026-01-02.csv", "archive/2026-01-01.csv", "2026-01-01b.csv/_SUCCESS"):
        (tmp_path / name).write_bytes(csv(f"{HEAD}\nann,1,{AT}\n"))
    source = Files(f"{tmp_path}/{path}")
    assert land_period(pond, source, plan(COLUMNS), day(0)).rows >= 1
    (tmp_path / "2026-01-01b.csv").rename(tmp_path / "2026-01-03.csv" if "?" in path else tmp_path / "2026-01-01c.csv")
    (folder,) = (found for found in tmp_path.glob("*.csv") if found.is_dir())
    (folder / "part-0.csv").write_bytes(csv(f"{HEAD}\nbob,1,{AT}\n"))
    with pytest.raises(ValueError, match=f"names files and the folder '{folder}', whose files would be left out"):
        land_period(pond, source, plan(COLUMNS), day(0))
    assert land_period(pond, Files(f"{tmp_path}/**/*.csv"), plan(COLUMNS), day(0)).rows >= 3


def test_names_that_the_first_line_has_for_other_columns(pond: Warehouse, tmp_path: Path) -> None:
    """spark-csv 338: given names were laid over a header in another order, so that users and items changed places."""
    path = tmp_path / "a.csv"
    path.write_bytes(csv(f"item, User,at\n1,ann,{AT}\n"))
    with pytest.raises(
        ValueError, match=r"`names` calls column 1 'user', and the first line calls it 'item', and column 2 'user'"
    ):
        land_period(pond, Files(str(path), names=("user", "item", "time"), header=True), plan(COLUMNS), day(0))
    for names in (("item", "user", "time"), ("ITEM", "user", "time")):
        columns = COLUMNS.model_copy(update={"item": names[0]})
        assert land_period(pond, Files(str(path), names=names, header=True), plan(columns), day(0)).rows == 1


def test_a_first_line_that_is_a_row_is_not_left_out_for_names(pond: Warehouse, tmp_path: Path) -> None:
    """spark-csv 291, BigQuery and Redshift: of files in parts, only some have a line of names; of each other part one row was lost."""
    for name, first in {"a.csv": "u,i,at\n", "b.csv": ""}.items():
        (tmp_path / name).write_bytes(csv(f"{first}{name},1,{AT}\nbob,2,{AT}\n"))
    named = {"names": ("user", "item", "time"), "header": True}
    assert land_period(pond, Files(f"{tmp_path}/a.csv", **named), plan(COLUMNS), day(0)).rows == 2
    with pytest.raises(
        ValueError,
        match=r"b.csv: its first line is a row, 'b.csv,1,2026-01-01T10:00:00', and .* `header: true` leaves it out",
    ):
        land_period(pond, Files(f"{tmp_path}/*.csv", **named), plan(COLUMNS), day(0))


@pytest.mark.parametrize("more", [["cat", "dan"], ["cat", "dan", "eve"]], ids=["alike", "longer"])
def test_parquet_files_that_were_joined(pond: Warehouse, tmp_path: Path, more: list[str]) -> None:
    """Of two files alike that were joined with cat, the rows of the first one were read, and those of the second lost."""
    first, second = (
        parquet(user=users, item=[*range(len(users))], time=[AT] * len(users)) for users in (["ann", "bob"], more)
    )
    (tmp_path / "a.parquet").write_bytes(first + second)
    with pytest.raises(ValueError, match=r"a.parquet is several Parquet files joined into one"):
        land_period(pond, Files(str(tmp_path / "a.parquet")), plan(COLUMNS), day(0))


@pytest.mark.parametrize("checksums", [True, False])
def test_a_page_that_does_not_match_its_checksum(pond: Warehouse, tmp_path: Path, checksums: bool) -> None:
    """hardwood 1095: damaged bytes of numbers are other numbers. DuckDB compares no checksums; Spark and Hive write them."""
    path, size = tmp_path / "a.parquet", 1000
    table = pa.table({"user": ["ann"] * size, "item": [*range(size)], "time": [AT] * size, "note": [*range(size)]})
    pq.write_table(table, path, write_page_checksum=checksums, use_dictionary=False, compression="none")
    columns = pq.read_metadata(path).row_group(0)
    sound = path.read_bytes()
    for number, name in ((1, "item"), (3, "note")):
        data = bytearray(sound)
        data[columns.column(number).data_page_offset + 4000] ^= 1
        path.write_bytes(data)
        if checksums and name == "item":
            with pytest.raises(
                ValueError, match=r"a.parquet is damaged: a page of its column 'item' does not match its checksum"
            ):
                land_period(pond, Files(str(path)), plan(COLUMNS), day(0))
        else:  # nothing shows the damage, or no wanted column has it
            assert land_period(pond, Files(str(path)), plan(COLUMNS), day(0)).rows == size
    path.write_bytes(sound)
    assert land_period(pond, Files(str(path)), plan(COLUMNS), day(0)).rows == size


@pytest.mark.parametrize("last", ["", "x"])
@pytest.mark.parametrize("comment", ["", "#"])
def test_a_first_column_without_a_name(pond: Warehouse, tmp_path: Path, last: str, comment: str) -> None:
    """pandas 29251 and 41304: its index, and R's row names, have no name, so that user 0 had the item ann at the time of `made`."""
    path = tmp_path / "a.csv"
    path.write_bytes(csv(f"user,item,made,time,device\n0,ann,7,{AT},{AT},{last}\n1,bob,8,{AT},{AT},\n"))
    with pytest.raises(ValueError, match=r"rows have 6 fields, and its first line 5 names, .*A row begins '0,ann,7,"):
        land_period(pond, Files(str(path), comment=comment), plan(DEVICE), day(0))
    path.write_bytes(
        csv(f"id,user,item,time,device\n1,ann,7,{AT},x,\n2,bob,8,{AT},y,\n")
    )  # delimiters at the end of lines
    assert land_period(pond, Files(str(path), comment=comment), plan(DEVICE), day(0)).rows == 2


@pytest.mark.parametrize("role", ["label", "numeric"])
@pytest.mark.parametrize("value", [datetime(2026, 1, 1), date(2026, 1, 1), time(10)], ids=["datetime", "date", "time"])
def test_times_in_a_column_of_numbers(pond: Warehouse, tmp_path: Path, role: str, value: object) -> None:
    """It was an error of Arrow, and taken for a fault of nightloop."""
    (tmp_path / "a.parquet").write_bytes(parquet(user=["ann"], item=[1], time=[AT], x=[value]))
    columns = COLUMNS.model_copy(update={role: ("x",) if role == "numeric" else "x"})
    with pytest.raises(ValueError, match=r"the column 'x' holds .*, and a number is wanted"):
        land_period(pond, Files(str(tmp_path / "a.parquet")), plan(columns), day(0))


def test_utf8_that_is_called_something_else(pond: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv(f"{HEAD}\nJos\xe9,1,{AT}\n"))
    for encoding in ("latin-1", "cp1252", "cp1251"):
        with pytest.raises(
            ValueError, match=f"is written in utf-8, and the source's option `encoding` is {encoding}: leave"
        ):
            land_period(pond, Files(str(path), encoding=encoding), plan(COLUMNS), day(0))
    path.write_bytes(f"{HEAD}\n\u8054\u901a,1,{AT}\n".encode("gbk"))  # its bytes are utf-8 too, of another word
    assert land_period(pond, Files(str(path), encoding="gbk"), plan(COLUMNS), day(0)).rows == 1


@pytest.mark.parametrize("place", ["gs://bucket/a.csv", "az://box/a.csv", "https://host/a.csv", "hdfs://host/a.csv"])
def test_a_place_that_files_are_not_read_from(pond: Warehouse, place: str) -> None:
    with pytest.raises(ValueError, match="read are files on disk and on S3, s3://bucket/key"):
        land_period(pond, Files(place), plan(COLUMNS), day(0))


def test_s3_is_reached_for_a_source_though_the_lake_is_on_disk(pond: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="S3 is out of reach here"):
        land_period(pond, Files("s3://bucket/a.csv"), plan(COLUMNS), day(0))
    part = Part(use="files", options={"path": ["a.csv", "s3://bucket/{period}.csv"]})
    assert plan(COLUMNS).model_copy(update={"source": part}).reads_s3 and not plan(COLUMNS).reads_s3
    with Warehouse.open(Settings(home=tmp_path), "pond", {}) as warehouse:
        assert warehouse.remote is not None


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_line_with_one_quote_too_many_is_found_wherever_a_piece_of_the_file_ends(size: int) -> None:
    sound = f'ann,"a ""b""",1,{AT}\nbob,5" nails,2,{AT}\ncat,"c,\nd",3,{AT}\n'
    for text, found in ((sound, False), (sound + f'dan,"d,4,{AT}\n', True), (sound + f'dan,"d,4,{AT}', True)):
        data = text.encode()
        assert has_irregular_row((data[n : n + size] for n in range(0, len(data), size)), '"', ",", 4) is found
