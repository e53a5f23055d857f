"""Formats of the literature for clicks: a few rows as they are published, what is damaged, missing or another file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nightloop.tasks.formats.row_order_time import Positions
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns, Counts, Part, Plan
from nightloop.tasks.sources import build
from nightloop.tasks.sources.avazu import Avazu
from nightloop.tasks.sources.criteo import NAMES, Criteo
from nightloop.tasks.sources.libfm import LibFM
from tests.lake.make_lake import lake, plan

MIDNIGHT = 946_684_800  # 2000-01-01, where made-up times begin
HOURS, DAYS = Calendar(start="2000-01-01", every="hour"), Calendar(start="2000-01-01")


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[Warehouse]:
    with lake(tmp_path / "lake") as warehouse:
        yield warehouse


def write(path: Path, content: str) -> str:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def landed(pond: Warehouse, source: Source, made: Plan, index: int) -> tuple[list[dict[str, object]], Landing]:
    """Every row that can be used, its time in seconds."""
    landing = land_period(pond, source, made, period(made.periods, index))
    asked = """SELECT * REPLACE (epoch(time) AS time) FROM logs WHERE period = ? AND version = ? ORDER BY arrival"""
    found = pond.connection.execute(asked, [index, landing.version]).to_arrow_table().to_pylist()
    return found, landing


def values(rows: list[dict[str, object]], *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def aside(pond: Warehouse, landing: Landing) -> list[tuple[str, str]]:
    asked = "SELECT reason, raw FROM quarantine WHERE period = ? AND version = ? ORDER BY arrival"
    return pond.connection.execute(asked, [landing.period, landing.version]).fetchall()


def impression(label: int, first: str, last: str) -> str:
    """A line of Criteo's: label, 13 integers (the second missing), 26 categories (the second missing)."""
    numbers = [first, "", *map(str, range(3, 14))]
    return "\t".join([str(label), *numbers, "68fd1e64", "", *(f"{n:08x}" for n in range(3, 26)), last]) + "\n"


CRITEO = Columns(
    user="group",
    item="everything",
    time="time",
    label="label",
    categorical=NAMES[14:],
    numeric=NAMES[1:14],
    key=("row",),
)


def test_criteo_of_kaggle(pond: Warehouse, tmp_path: Path) -> None:
    """Rows keep their order in made-up times; missing values are null; two rows alike are two rows."""
    lines = impression(0, "1", "c5c50484") + impression(1, "-2", "") + "damaged\n" + impression(1, "-2", "")
    source = Criteo(write(tmp_path / "train.txt", lines), rows_a_day=48, groups=2)
    rows, landing = landed(pond, source, plan(CRITEO, HOURS), 0)
    assert values(rows, "time", "label", "user", "item", "I1", "I2", "I13", "C1", "C2", "C26", "row") == [
        (MIDNIGHT, 0, "0", "everything", 1, None, 13, "68fd1e64", None, "c5c50484", "train.txt:0"),
        (MIDNIGHT + 1800, 1, "1", "everything", -2, None, 13, "68fd1e64", None, None, "train.txt:1"),
    ]
    assert aside(pond, landing) == []
    rows, landing = landed(pond, source, plan(CRITEO, HOURS), 1)
    assert values(rows, "time", "row") == [(MIDNIGHT + 3600, "train.txt:2")]
    [(reason, raw)] = aside(pond, landing)  # lines that cannot be taken apart go with the last row
    assert reason == "unreadable_row" and "damaged" in raw
    rows, _ = landed(pond, source, plan(CRITEO, Counts(rows=4)), 0)
    assert values(rows, "row") == [("train.txt:0",), ("train.txt:1",), ("train.txt:2",)]


def test_criteo_of_a_terabyte(pond: Warehouse, tmp_path: Path) -> None:
    """A file is the day that its name says, in whatever order names sort; a file of another day is not opened."""
    for day in (0, 2, 10):
        write(tmp_path / f"day_{day}.gz", impression(1, str(day), "x") + impression(0, str(day), "y"))
    source, made = Criteo(str(tmp_path / "day_*"), rows_a_day=2), plan(CRITEO, DAYS)
    for day in (0, 2, 10):
        rows, _ = landed(pond, source, made, day)
        assert values(rows, "time", "I1") == [(MIDNIGHT + 86400 * day + at, day) for at in (0, 43200)]
    assert landed(pond, source, made, 1)[0] == []
    (tmp_path / "day_10.gz").write_bytes(b"no gzip")
    assert len(landed(pond, source, made, 2)[0]) == 2
    with pytest.raises(ValueError, match=r"day_2\.gz has more than 1 rows, and a file is a day: give a larger"):
        land_period(pond, Criteo(str(tmp_path / "day_*"), rows_a_day=1), made, period(DAYS, 2))
    write(tmp_path / "day_2", impression(1, "2", "x"))
    with pytest.raises(ValueError, match="would both be day 2"):
        land_period(pond, source, made, period(DAYS, 2))


def test_made_up_times_keep_the_order_of_a_terabyte() -> None:
    """Neighbours are apart by the length of a row, at the start, before midnight and in the last of four billion rows."""
    clock = Positions("2000-01-01", 200_000_000)
    for position in (0, 199_999_998, 199_999_999, 4_399_999_998):
        one, next_ = clock.micros(np.array([position, position + 1]), 0)
        assert next_ - one == 432 and (one - clock.midnight(0)) == 432 * position


def test_a_file_that_is_not_criteos_is_named(pond: Warehouse, tmp_path: Path) -> None:
    unlabelled = impression(0, "1", "x").removeprefix("0\t")  # Kaggle's test.txt
    for name, content, says in (
        ("test.txt", unlabelled, r"test\.txt: its first line has 39 fields between '\\t' and not the 40"),
        ("a.csv", "id,click\n1,0\n", "has 1 fields"),
        ("empty.txt", "", "is empty"),
    ):
        with pytest.raises(ValueError, match=says):
            land_period(pond, Criteo(write(tmp_path / name, content)), plan(CRITEO, DAYS), period(DAYS, 0))
    with pytest.raises(FileNotFoundError, match="no file"):
        land_period(pond, Criteo(str(tmp_path / "absent.txt")), plan(CRITEO, DAYS), period(DAYS, 0))
    with pytest.raises(ValueError, match="no column 'user_id'; its columns are 'label', 'I1'"):
        wrong = plan(CRITEO.model_copy(update={"user": "user_id"}), DAYS)
        land_period(pond, Criteo(str(tmp_path / "test.txt")), wrong, period(DAYS, 0))
    with pytest.raises(ValueError, match=r"first_day is 'soon', must be a date .*rows_a_day is 0, must .*groups is -1"):
        build(Part(use="criteo", options={"path": "x", "first_day": "soon", "rows_a_day": 0, "groups": -1}))


AVAZU = Columns(
    user="device_ip",
    item="C14",
    time="hour",
    label="click",
    categorical=("site_id", "hour_of_day", "weekday"),
    key=("id",),
)
AVAZU_ROWS = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,"
    "device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21\n"
    "1000009418151094273,0,14102100,1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,ddd2926e,"
    "44956a24,1,2,15706,320,50,1722,0,35,-1,79\n"
    "10000169349117863715,1,14102100,1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,ddd2926e,"
    "44956a24,1,0,15706,320,50,1722,0,35,100084,79\n"
    "10000371904215119486,0,14102223,1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,96809ac8,"
    "711ee120,1,0,15704,320,50,1722,0,35,100084,79\n"
)


@pytest.mark.parametrize("name", ["train.csv", "train.gz"])
def test_avazu(pond: Warehouse, tmp_path: Path, name: str) -> None:
    """Two rows of one user, item and hour are two rows; an hour that is none and a damaged line are put aside."""
    wrong = AVAZU_ROWS.splitlines()[2].replace("14102100", "2014102100").replace("10000169349117863715", "7")
    source = build(Part(use="avazu", options={"path": write(tmp_path / name, AVAZU_ROWS + wrong + "\ndamaged\n")}))
    made = plan(AVAZU, Calendar(start="2014-10-21"))
    rows, landing = landed(pond, source, made, 0)
    names = ("time", "user", "item", "label", "site_id", "hour_of_day", "weekday", "id")
    assert values(rows, *names) == [
        (1413849600, "ddd2926e", "15706", 0, "1fbe01fe", "00", "2", "1000009418151094273"),
        (1413849600, "ddd2926e", "15706", 1, "1fbe01fe", "00", "2", "10000169349117863715"),
    ]
    assert aside(pond, landing) == []
    rows, landing = landed(pond, source, made, 1)
    assert values(rows, "time", "user", "hour_of_day") == [(1414018800, "96809ac8", "23")]
    assert [reason for reason, _ in aside(pond, landing)] == ["unreadable_time", "unreadable_row"]


def test_a_file_that_is_not_avazus_is_named(pond: Warehouse, tmp_path: Path) -> None:
    made = plan(AVAZU, Calendar(start="2014-10-21"))
    for content, says in (("a,b\n1,2\n", "no column 'device_ip'; its columns are 'a', 'b'"), ("", "is empty")):
        with pytest.raises(ValueError, match=says):
            land_period(pond, Avazu(write(tmp_path / "train.csv", content)), made, period(made.periods, 0))
    with pytest.raises(FileNotFoundError):
        land_period(pond, Avazu(str(tmp_path / "absent.csv")), made, period(made.periods, 0))
    with pytest.raises(ValueError, match="avazu's time is in the column 'hour', and the plan's is 'id'"):
        land_period(pond, Avazu("x"), plan(AVAZU.model_copy(update={"time": "id"})), period(made.periods, 0))


FRAPPE = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")
TAGS = Columns(user="user", item="item", time="time", label="label", categorical=("tag",), key=("row",))


def test_frappe(pond: Warehouse, tmp_path: Path) -> None:
    line = "{} 451:1 4149:1 5041:1 5046:1 5053:1 5055:1 5058:1 5060:1 5069:1 5149:1\n"
    path = write(tmp_path / "frappe.train.libfm", line.format(1) + line.format(-1))
    context = FRAPPE[2:]
    columns = TAGS.model_copy(update={"categorical": context})
    rows, landing = landed(pond, LibFM(path, fields=FRAPPE, rows_a_day=2), plan(columns, DAYS), 0)
    fields = ("451", "4149", "5041", "5046", "5053", "5055", "5058", "5060", "5069", "5149")
    assert values(rows, "label", "time", "user", "item", *context) == [
        (1, MIDNIGHT, *fields),
        (0, MIDNIGHT + 43200, *fields),
    ]
    assert aside(pond, landing) == []


def test_tags_of_movielens_over_several_files(pond: Warehouse, tmp_path: Path) -> None:
    """Files follow as they are named; a line of another shape or an empty one is no row, and the former is put aside."""
    train = write(tmp_path / "ml-tag.train.libfm.gz", "-1 73:1 74:1 75:1\n1.0  5:1 6:1\t7:1.0 \n\n+1 1:1 2:1\n")
    test = write(tmp_path / "ml-tag.test.libfm", "0 1:1 2:1 3:0.5\n3 1:1 2:1 3:1\n-1 8:1 9:1 10:1\n\n")
    source = build(
        Part(use="libfm", options={"path": [train, test], "fields": ["user", "item", "tag"], "rows_a_day": 6})
    )
    rows, landing = landed(pond, source, plan(TAGS, DAYS), 0)
    assert values(rows, "label", "user", "item", "tag", "time", "row") == [
        (0, "73", "74", "75", MIDNIGHT, "row:0"),
        (1, "5", "6", "7", MIDNIGHT + 14400, "row:1"),
        (0, "8", "9", "10", MIDNIGHT + 5 * 14400, "row:5"),
    ]
    found = aside(pond, landing)
    assert [reason for reason, _ in found] == ["unreadable_row"] * 3
    assert all(text in raw for text, (_, raw) in zip(("+1 1:1 2:1", "3:0.5", "3 1:1"), found, strict=True))
    rows, _ = landed(pond, source, plan(TAGS, Counts(rows=2)), 0)
    assert values(rows, "user") == [("73",), ("5",)]


def test_a_file_that_is_no_libfm_is_named(pond: Warehouse, tmp_path: Path) -> None:
    path = write(tmp_path / "a.libfm", "1 1:1 2:1 3:1\n")
    made = plan(TAGS.model_copy(update={"categorical": ()}), DAYS)
    with pytest.raises(
        ValueError, match=r"a\.libfm: its lines are not a label and 2 times index:1 \(user, item\); the first"
    ):
        land_period(pond, LibFM(path, fields=("user", "item")), made, period(DAYS, 0))
    with pytest.raises(FileNotFoundError):
        land_period(pond, LibFM(str(tmp_path / "b.libfm"), fields=("user", "item")), made, period(DAYS, 0))
    for fields in ((), ("user", "user"), ("user", "time")):
        with pytest.raises(ValueError, match="libfm needs `fields`"):
            LibFM(path, fields=fields)
