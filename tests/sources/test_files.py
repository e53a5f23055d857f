"""Files: every format, and everything that can be wrong with a file, before anything is written."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.inspection.infer_columns import columns_of_file, guess_columns
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns, Counts
from nightloop.tasks.sources.files import Files
from nightloop.tasks.sources.movielens import MovieLens
from tests.lake.make_lake import day, lake, plan

COLUMNS = Columns(user="user", item="item", time="time")
PLAN = plan(COLUMNS)
AT = "2026-01-01T10:00:00"
HEADER = "user,item,time\n"
LINES = "ann,1,2026-01-01T10:00\nbob,2,2026-01-01T11:00\ncat,3,2026-01-02T10:00\n"
MANY = HEADER + "".join(f"u{n},{n},2026-01-01T00:00:{n % 60:02d}\n" for n in range(50_000))


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("files")) as warehouse:
        yield warehouse


def users(warehouse: Warehouse, landing: Landing) -> list[str]:
    batches = clean_ids(warehouse, PLAN, landing.period, landing.version)
    return [user for ids in batches for user in ids.column("user").to_pylist()]


def reasons(warehouse: Warehouse, landing: Landing) -> list[tuple[str, str]]:
    asked = {"period": landing.period, "version": landing.version}
    statement = "SELECT reason, raw FROM quarantine WHERE period = $period AND version = $version ORDER BY arrival"
    return warehouse.connection.execute(statement, asked).fetchall()


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


JSON = '{"user":"ann","item":1,"time":"2026-01-01T10:00"}\n{"user":"bob","item":2,"time":1767265200}\n'
JSON += '{"user":"cat","item":3,"time":"2026-01-02T10:00"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", HEADER + LINES), ("a.csv.gz", HEADER + LINES), ("a.csv", "\ufeff" + HEADER + LINES),
        ("a.tsv", (HEADER + LINES).replace(",", "\t")), ("a.csv", (HEADER + LINES).replace(",", ";")),
        ("a.txt", (HEADER + LINES).replace(",", "|")), ("a.csv", (HEADER + LINES).replace("\n", "\r\n")),
        ("a.csv", "x,time,item,user\n" + "".join("?,{2},{1},{0}\n".format(*line.split(",")) for line in LINES.split())),
        ("a.jsonl", JSON), ("a.ndjson.gz", JSON),
    ],
)  # fmt: skip
def test_formats(pond: Warehouse, tmp_path: Path, name: str, content: str) -> None:
    source = Files(str(write(tmp_path / name, content)))
    assert users(pond, land_period(pond, source, PLAN, day(0))) == ["ann", "bob"]
    assert users(pond, land_period(pond, source, PLAN, day(1))) == ["cat"]


def test_parquet_of_two_types(pond: Warehouse, tmp_path: Path) -> None:
    """Rows keep their meaning where one file has numbers and the next one text."""
    for name, ids in (("a", pa.array([7, 8])), ("b", pa.array(["9", "x"]))):
        times = pa.array(["2026-01-01T10:00", "2026-01-01T11:00"] if name == "b" else [1767261600, 1767265200])
        pq.write_table(
            pa.table({"user": ids, "item": ids, "time": times.cast(pa.string())}), tmp_path / f"{name}.parquet"
        )
    assert users(pond, land_period(pond, Files(str(tmp_path / "*.parquet")), PLAN, day(0))) == ["7", "9", "8", "x"]


def test_many_files_a_period(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "2026-01-01-b.csv", "item,user,time\n" + "2,bob,2026-01-01T11:00\n")
    write(tmp_path / "2026-01-01-a.csv.gz", HEADER + "ann,1,2026-01-01T10:00\n")
    write(tmp_path / "2026-01-01-c.jsonl", JSON.splitlines()[2])  # a row of the day after: validation puts it aside
    write(tmp_path / "2026-01-02-a.csv", HEADER)
    source = Files(str(tmp_path / "{period}-*"))
    assert users(pond, land_period(pond, source, PLAN, day(0))) == ["ann", "bob", "cat"]
    assert land_period(pond, source, PLAN, day(1)).rows == 0
    with pytest.raises(FileNotFoundError, match=r"no file '.*2026-01-03-\*'"):
        land_period(pond, source, PLAN, day(2))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "a.csv is empty"), ("a.csv.gz", "", "a.csv.gz is empty"),
        ("a.csv", "who;what;when\n1;2;3\n", "no column 'user'; its columns are 'who', 'what', 'when'"),
        ("a.csv", "user,user,item,time\n1,2,3,4\n", "two columns 'user'"),
        ("a.csv", HEADER.encode() + "José,1,2026-01-01\n".encode("latin-1"), "a.csv:2: it is not utf-8: set"),
        ("a.csv", (HEADER + LINES).encode("utf-16-le"), "a.csv"), ("a.csv", bytes(range(256)) * 500, "a.csv"),
        ("a.csv", HEADER + "ann,1,soon\nbob,2,later\n", "not one of 2 rows has a time that can be read, such as 'soon'"),
        ("a.csv", "PK\x03\x04 and more", "is a zip archive, and not text: unpack it"),
        ("a.zip", "PK\x03\x04 and more", "is packed in a way that is not read: unpack it"),
        ("a.jsonl", '{"user": {"id": 1}, "item": 2, "time": 3}\n', "column 'user' does not hold one value a row, but an object, {"),
        ("a.parquet", "", "a.parquet is not a complete Parquet file"),
        ("a.parquet", "PAR1 and nothing more", "not a complete Parquet file"),
        ("a.jsonl", "", "no line that is a JSON object"),
        ("a.jsonl", "[1]\nnot json\n", "no line that is a JSON object"),
        ("a.jsonl", '{"who": 1}\n', "no column 'user'; its columns are 'who'"),
        ("a.xls", "whatever", "the ending does not say what it is"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_and_nothing_is_written(
    pond: Warehouse, tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    before = pond.latest()
    with pytest.raises(ValueError) as caught:
        land_period(pond, Files(str(write(tmp_path / name, content))), PLAN, day(0))
    assert says in str(caught.value) and len(str(caught.value)) < 2_000
    assert pond.latest() == before and list(pond.scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("part", [0.5, 0.999])
def test_a_file_that_is_cut_off(pond: Warehouse, tmp_path: Path, name: str, part: float) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({c: ["1"] * 10_000 for c in ("user", "item", "time")}), path)
    else:
        write(path, MANY if "csv" in name else JSON * 5_000)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match="deliver it again"):
        land_period(pond, Files(str(path)), PLAN, day(0))


def test_a_damaged_gzip_and_one_in_two_parts(pond: Warehouse, tmp_path: Path) -> None:
    good = gzip.compress(MANY.encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(good[:2000] + b"\0" * 100 + good[2100:])
    with pytest.raises(ValueError, match="not a complete gzip file"):
        land_period(pond, Files(str(path)), PLAN, day(0))
    path.write_bytes(gzip.compress(HEADER.encode()) + gzip.compress(LINES.encode()))
    assert users(pond, land_period(pond, Files(str(path)), PLAN, day(0))) == ["ann", "bob"]


def test_lines_that_do_not_parse_are_put_aside_with_their_text(pond: Warehouse, tmp_path: Path) -> None:
    content = (
        HEADER
        + "ann,1,2026-01-01\nbob,2\ncat,3,2026-01-01,more\n"
        + f"{'x' * 5_000_000},1,2026-01-01\ndan,4,2026-01-01\n"
    )
    landing = land_period(
        pond, Files(str(write(tmp_path / "2026-01-01.csv", content)).replace("2026-01-01", "{period}")), PLAN, day(0)
    )
    assert users(pond, landing) == ["ann", "dan"] and landing.rows == 5
    found = reasons(pond, landing)
    assert [reason for reason, _ in found] == ["unreadable_row"] * 3
    assert "bob,2" in found[0][1] and ":3: " in found[0][1] and "cat,3" in found[1][1] and len(found[2][1]) < 5_000


def test_json_lines_that_do_not_parse_are_put_aside(pond: Warehouse, tmp_path: Path) -> None:
    content = JSON.splitlines()[0] + '\nnot json\n{"user": "eve", "time": "2026-01-01"}\n[1]\n'
    landing = land_period(
        pond, Files(str(write(tmp_path / "2026-01-01.jsonl", content)).replace("2026-01-01", "{period}")), PLAN, day(0)
    )
    assert users(pond, landing) == ["ann"]
    assert [reason for reason, _ in reasons(pond, landing)] == ["unreadable_row", "null_item", "unreadable_row"]


def test_a_key_of_json_lines_may_come_late(pond: Warehouse, tmp_path: Path) -> None:
    row = '{"user": "u%d", "item": 1, "time": "2026-01-01", "list": %d}\n'
    plain = "".join(row % (n, n) for n in range(1_100))
    early, late = (
        '{"user": "ann", "time": "2026-01-01"}\n' * 1_001,
        '{"user": "bob", "item": 2, "time": "2026-01-01"}\n',
    )
    landing = land_period(pond, Files(str(write(tmp_path / "0.jsonl", early + late))), PLAN, day(0))
    assert users(pond, landing) == ["bob"] and len(reasons(pond, landing)) == 1_001
    old, new = write(tmp_path / "2026-01-01.jsonl", plain), write(tmp_path / "2026-01-02.jsonl", plain)
    with new.open("a") as file:  # what only the newest file has, and late, the older ones may lack
        file.write('{"user": "bob", "item": 2, "time": "2026-01-02", "device": "d1", "list": [1]}\n')
    featured = plan(Columns(user="user", item="item", time="time", categorical=("device",), numeric=("list",)))
    path = str(old).replace("2026-01-01", "{period}")
    assert land_period(pond, Files(path), featured, day(0)).rows == 1_100
    landing = land_period(pond, Files(path), featured, day(1))
    assert ("unreadable_row" in {reason for reason, _ in reasons(pond, landing)}) and landing.rows == 1_101


def test_a_time_that_cannot_be_read_goes_where_its_neighbours_go(pond: Warehouse, tmp_path: Path) -> None:
    """In a file of the whole history it is counted once, in one period."""
    lines = LINES.splitlines()
    content = HEADER + "\n".join([lines[0], "eve,9,soon", lines[1], lines[2], "fay,9,later"]) + "\n"
    for name, write_as in (("a.csv", write), ("a.parquet", as_parquet)):
        source = Files(str(write_as(tmp_path / name, content)))
        counts = [(len(users(pond, one)), [r for r, _ in reasons(pond, one)])
                  for one in (land_period(pond, source, PLAN, day(k)) for k in range(3))]  # fmt: skip
        assert counts == [(2, ["unreadable_time"]), (1, ["unreadable_time"]), (0, [])]


def as_parquet(path: Path, content: str) -> Path:
    rows = [line.split(",") for line in content.split()]
    pq.write_table(pa.Table.from_pylist([dict(zip(rows[0], row, strict=True)) for row in rows[1:]]), path)
    return path


def test_other_encodings_and_delimiters_by_option(pond: Warehouse, tmp_path: Path) -> None:
    latin = write(tmp_path / "a.csv", "user~item~time\nJosé~1~2026-01-01\n".encode("latin-1"))
    assert users(pond, land_period(pond, Files(str(latin), delimiter="~", encoding="latin-1"), PLAN, day(0))) == [
        "José"
    ]
    wide = write(tmp_path / "b.csv", (HEADER + LINES).encode("utf-16"))
    assert users(pond, land_period(pond, Files(str(wide), encoding="utf-16"), PLAN, day(0))) == ["ann", "bob"]


def test_quotes_newlines_and_sql_are_only_text(pond: Warehouse, tmp_path: Path) -> None:
    hostile = "'; DROP TABLE landed; --"
    content = (
        HEADER + f'"a""b",1,2026-01-01T01:00\n"two\nlines",2,2026-01-01T02:00\n'
        f'"{hostile}",3,2026-01-01T03:00\n../../x,4,2026-01-01T04:00\n'
    )
    landing = land_period(pond, Files(str(write(tmp_path / "it's; $a.csv", content))), PLAN, day(0))
    assert users(pond, landing) == ['a"b', "two\nlines", hostile, "../../x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(pond: Warehouse, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + LINES)
    path.chmod(0)
    with pytest.raises(OSError, match=r"a\.csv"):
        land_period(pond, Files(str(path)), PLAN, day(0))


def test_equal_counts_of_one_file(pond: Warehouse, tmp_path: Path) -> None:
    rule = Counts(rows=2)
    counted = plan(COLUMNS, rule)
    source = Files(str(write(tmp_path / "a.csv", HEADER + LINES + "dan,1,2026-01-01T09:00\n")))
    assert users(pond, land_period(pond, source, counted, period(rule, 0))) == ["dan", "ann"]
    assert users(pond, land_period(pond, source, counted, period(rule, 1))) == ["bob", "cat"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("u.data", "ann\t1\t5\t1767261600\nbob\t2\t3\t1767265200\n"),
        ("ratings.dat", "ann::1::5::1767261600\nbob::2::3::1767265200\n"),
        ("ratings.csv", "userId,movieId,rating,timestamp\nann,1,5.0,1767261600\nbob,2,3.5,1767265200\n"),
    ],
)
def test_movielens(pond: Warehouse, tmp_path: Path, name: str, content: str) -> None:
    columns = Columns(user="userId", item="movieId", time="timestamp") if name.endswith("csv") else COLUMNS
    source = MovieLens(str(write(tmp_path / name, content)))
    assert users(pond, land_period(pond, source, plan(columns), day(0))) == ["ann", "bob"]
    with pytest.raises(ValueError, match=r"movielens reads u\.data"):
        MovieLens("movies.csv")


def test_options_that_cannot_be() -> None:
    for options in (
        {"path": ""},
        {"path": "x" * 10**6},
        {"path": "a", "format": "xml"},
        {"path": "a", "delimiter": "x" * 9},
    ):
        with pytest.raises(ValueError):
            Files(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "a pointer of Git LFS.*git lfs pull",
        ),
        ("a.csv", "<!DOCTYPE HTML>\n<html><body>Denied</body></html>\n", "a web page"),
        ("a.jsonl", "  <html><body>Denied</body></html>\n", "a web page"),
        ("a.csv", '\ufeff<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>\n', "an XML document"),
        ("a.csv", f"user,item,time\nann,1,{AT}\n".encode("utf-16")[:-1], "not complete text in utf-16"),
        ("a.jsonl", f"{{'user': 'ann', 'item': 1, 'time': '{AT}', 'x': None}}\n", "json.dumps"),
        (
            "a.jsonl",
            f'{{"user": {{"$oid": "ann"}}, "item": 1, "time": "{AT}"}}\n',
            "but an object.*separate columns",
        ),
        ("A.CSV.GZ", gzip.compress(f"user,item,time\nann,1,{AT}\n".encode(), mtime=0), "in small letters"),
    ],
)
def test_a_file_that_holds_no_rows_is_told_for_what_it_is(
    pond: Warehouse, tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        land_period(pond, Files(str(write(tmp_path / name, content))), PLAN, day(0))


def test_columns_are_guessed_from_the_usual_names(tmp_path: Path) -> None:
    guessed = guess_columns(str(write(tmp_path / "a.csv.gz", "userId,movieId,rating,timestamp\n1,2,3,4\n")))
    assert guessed == Columns(user="userId", item="movieId", time="timestamp")
    clicks = guess_columns(str(write(tmp_path / "a.jsonl", '{"visitor_id": 1, "product_id": 2, "ts": 3, "Click": 0}')))
    assert clicks == Columns(user="visitor_id", item="product_id", time="ts", label="Click")
    with pytest.raises(ValueError, match="no column is plainly the user or the time; its columns are 'who', 'item'"):
        guess_columns(str(write(tmp_path / "b.csv", "who,item\n1,2\n")))
    for name, content in (("c.csv", ""), ("c.csv", b"\xff\xfe\x00"), ("c.parquet", "x"), ("c.jsonl", "{")):
        with pytest.raises(ValueError):
            guess_columns(str(write(tmp_path / name, content)))
    with pytest.raises(FileNotFoundError):
        guess_columns(str(tmp_path / "absent.csv"))
    told = {"names": ["user", "item", "rating", "time"], "comment": "#", "delimiter": ";"}
    other = write(tmp_path / "d.csv", "# made by us\n1;2;3;4\n".encode("utf-16"))
    assert columns_of_file(str(other), told) == told["names"]
    assert guess_columns(str(other), told) == Columns(user="user", item="item", time="time")


@pytest.fixture
def movietweetings() -> Path:
    folder = Path(os.environ.get("NIGHTLOOP_DATA_DIR", Path(__file__).parents[2] / "../shared/data"))
    path = folder / "movietweetings.parquet"
    if not path.exists():
        pytest.skip(
            "movietweetings.parquet is not here: put it in ../shared/data or name its folder in NIGHTLOOP_DATA_DIR"
        )
    return path


def test_movietweetings_in_the_order_of_the_protocol(tmp_path: Path, movietweetings: Path) -> None:
    """Period k is rows [7084 k, 7084 (k + 1)) by (ts, user_id, item_id), the ids as numbers."""
    columns, rule = guess_columns(str(movietweetings)), Counts(rows=7084)
    table = pq.read_table(movietweetings).sort_by(
        [(name, "ascending") for name in (columns.time, columns.user, columns.item)]
    )
    with lake(tmp_path) as warehouse:
        landing = land_period(warehouse, Files(str(movietweetings)), plan(columns, rule), period(rule, 5))
        found = pa.concat_tables(clean_ids(warehouse, plan(columns, rule), 5, landing.version))
    expected = table.slice(5 * 7084, 7084)
    assert [int(u) for u in found.column("user").to_pylist()] == expected.column(columns.user).to_pylist()
    assert [int(i) for i in found.column("item").to_pylist()] == expected.column(columns.item).to_pylist()


def test_times_with_a_fraction_are_read_exactly_and_soon(pond: Warehouse, tmp_path: Path) -> None:
    """KuaiRec's are such. A decimal of 28 digits took DuckDB a quarter of a millisecond: an hour for a file of its size."""
    ids, begin = range(40_000), 1_767_261_600
    lines = "".join(f"u{n},{n},{begin}.{n:06d}\n" for n in ids)
    source = Files(str(write(tmp_path / "a.csv", HEADER + lines + f"ms,1,{begin}123.4567\n")))
    started = perf_counter()
    landing = land_period(pond, source, PLAN, day(0))
    assert perf_counter() - started < 5
    asked = "SELECT epoch_us(time) FROM logs WHERE period = 0 AND version = $1 ORDER BY arrival"
    micros = [row[0] for row in pond.connection.execute(asked, [landing.version]).fetchall()]
    assert micros == [*(begin * 1_000_000 + n for n in ids), begin * 1_000_000 + 123_457]
