"""Formats of the literature for ranking: a few rows as they are published, what is damaged, missing or another file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import Period, period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns, Counts, Part, Plan
from nightloop.tasks.sources import build
from nightloop.tasks.sources.adressa import Adressa
from nightloop.tasks.sources.movielens import MovieLens
from nightloop.tasks.sources.reviews import Reviews
from tests.lake.make_lake import lake, plan

ROLES = Columns(user="user", item="item", time="time", numeric=("rating",))
Row = tuple[str, str, int, float | None]


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("formats")) as warehouse:
        yield warehouse


def write(path: Path, content: str) -> str:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def landed(pond: Warehouse, source: Source, made: Plan, one: Period) -> tuple[list[Row], Landing]:
    """User, item, second (UTC) and rating of every row that can be used."""
    landing = land_period(pond, source, made, one)
    asked = """SELECT "user", item, floor(epoch(time)), rating FROM logs
        WHERE period = ? AND version = ? ORDER BY arrival"""
    return pond.connection.execute(asked, [one.index, landing.version]).fetchall(), landing


def aside(pond: Warehouse, landing: Landing) -> list[tuple[str, str]]:
    asked = "SELECT reason, raw FROM quarantine WHERE period = ? AND version = ? ORDER BY arrival"
    return pond.connection.execute(asked, [landing.period, landing.version]).fetchall()


@pytest.mark.parametrize(
    ("name", "content", "columns", "rows"),
    [
        (  # 100k
            "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n", ROLES,
            [("196", "242", 881250949, 3.0), ("186", "302", 891717742, 3.0)],
        ),
        (  # 1m
            "ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n", ROLES,
            [("1", "1193", 978300760, 5.0), ("1", "661", 978302109, 3.0)],
        ),
        (  # 20m
            "ratings.csv", "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,3.5,1112484676\n",
            Columns(user="userId", item="movieId", time="timestamp", numeric=("rating",)),
            [("1", "2", 1112486027, 3.5), ("1", "29", 1112484676, 3.5)],
        ),
        (  # 25m
            "ratings.csv", "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n",
            Columns(user="userId", item="movieId", time="timestamp", numeric=("rating",)),
            [("1", "296", 1147880044, 5.0), ("1", "306", 1147868817, 3.5)],
        ),
        (  # MovieTweetings: IMDb's numbers, of which no zero may be lost
            "ratings.dat", "1::0114508::8::1381006850\n2::0499549::9::1376753198\n", ROLES,
            [("1", "0114508", 1381006850, 8.0), ("2", "0499549", 1376753198, 9.0)],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_movielens_and_movietweetings(
    pond: Warehouse, tmp_path: Path, name: str, content: str, columns: Columns, rows: list[Row], ending: str
) -> None:
    """Every rating, in the order of time by equal counts; a line with a field too few is put aside with its text."""
    rule = Counts(rows=3)
    source = MovieLens(write(tmp_path / (name + ending), content + "1\n"))
    found, landing = landed(pond, source, plan(columns, rule), period(rule, 0))
    assert found == sorted(rows, key=lambda row: row[2])
    assert [reason for reason, _ in aside(pond, landing)] == ["unreadable_row"]


def test_a_movielens_file_of_another_format_is_named(pond: Warehouse, tmp_path: Path) -> None:
    source = MovieLens(write(tmp_path / "ratings.dat", "1,1193,5,978300760\n"))
    with pytest.raises(
        ValueError, match=r"ratings\.dat: its first line has 1 fields between '::' and not the 4 of this"
    ):
        land_period(pond, source, plan(ROLES), period(Calendar(start="2001-01-01"), 0))
    with pytest.raises(FileNotFoundError, match=r"no file .*u\.data"):
        land_period(pond, MovieLens(str(tmp_path / "u.data")), plan(ROLES), period(Calendar(start="2001-01-01"), 0))


def test_ratings_as_labels_of_some_years(pond: Warehouse, tmp_path: Path) -> None:
    """ASMG's MovieLens: the years 2014 to 2018, a rating of four or more is liked, in periods of equal counts."""
    lines = "1,10,5.0,1388534399\n1,11,4.0,1388534400\n2,12,3.5,1546300799\n2,13,4.5,1546300800\n3,14,good,1420070400\n"
    path = write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp\n" + lines)
    columns = Columns(user="userId", item="movieId", time="timestamp", label="label", numeric=("rating",))
    options = {"path": path, "liked": 4, "begin": "2014-01-01", "end": "2019-01-01"}
    for rule in (Counts(rows=3), Calendar(start="2010-01-01", every="month", length=240)):
        made = plan(columns, rule)
        found, landing = landed(pond, build(Part(use="movielens", options=options)), made, period(rule, 0))
        assert found == [("1", "11", 1388534400, 4.0), ("2", "12", 1546300799, 3.5)]
        assert [reason for reason, _ in aside(pond, landing)] == ["null_label", "unreadable_number"]
        asked = "SELECT list(label ORDER BY time) FROM logs WHERE period = 0 AND version = ?"
        assert pond.connection.execute(asked, [landing.version]).fetchall() == [([1.0, 0.0],)]
    with pytest.raises(ValueError, match="begin is 'soon'"):
        MovieLens(path, begin="soon")


FIVE_CORE = (
    '{"reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "reviewerName": "J. McDonald", "helpful": [2, 3], '
    '"reviewText": "I bought this, \\"nice\\"", "overall": 5.0, "summary": "Heavenly", "unixReviewTime": 1252800000, '
    '"reviewTime": "09 13, 2009"}\n'
)
OF_2023 = (
    '{"rating": 5.0, "title": "Such a lovely scent", "text": "…", "images": [], "asin": "B00YQ6X8EO", '
    '"parent_asin": "B00YQ6X8EO", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923, '
    '"helpful_vote": 0, "verified_purchase": true}\n'
)
YELP = (
    '{"review_id":"zdSx_SD6obEhz9VrW9uAWA","user_id":"Ha3iJu77CxlrFm-vQRs_8g","business_id":"tnhfDv5Il8EaGSXZGiuQGg",'
    '"stars":4.0,"useful":0,"funny":0,"cool":0,"text":"Great place!\\nGo.","date":"2016-03-09 12:30:00"}\n'
)
A2014, I2014 = "A2SUAM1J3GNN3B", "0000013714"
REVIEWS: list[tuple[str, str, Row]] = [
    ("reviews_Books_5.json.gz", FIVE_CORE, (A2014, I2014, 1252800000, 5.0)),
    ("Books_5.json", FIVE_CORE, (A2014, I2014, 1252800000, 5.0)),
    ("All_Beauty.jsonl.gz", OF_2023, ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8EO", 1588687728, 5.0)),
    ("ratings_Books.csv", f"{A2014},{I2014},5.0,1252800000\n", (A2014, I2014, 1252800000, 5.0)),  # 2014: user first
    ("Books.csv", f"{I2014},{A2014},5.0,1252800000\n", (A2014, I2014, 1252800000, 5.0)),  # 2018: item first
    (
        "All_Beauty.csv.gz", "user_id,parent_asin,rating,timestamp\nAGKHLEW2SOWHNMFQIJGBECAF7INQ,B081TJ8YS3,4.0,1588615855070\n",
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B081TJ8YS3", 1588615855, 4.0),
    ),
    ("yelp_academic_dataset_review.json", YELP, ("Ha3iJu77CxlrFm-vQRs_8g", "tnhfDv5Il8EaGSXZGiuQGg", 1457526600, 4.0)),
    ("review.json", YELP.replace(" 12:30:00", ""),
     ("Ha3iJu77CxlrFm-vQRs_8g", "tnhfDv5Il8EaGSXZGiuQGg", 1457481600, 4.0)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "row"), REVIEWS, ids=[name for name, *_ in REVIEWS])
def test_reviews_are_called_the_same_in_every_version(
    pond: Warehouse, tmp_path: Path, name: str, content: str, row: Row
) -> None:
    """A damaged line, the second of two, is put aside with its text, whether time or counts make the periods."""
    source = build(Part(use="reviews", options={"path": write(tmp_path / name, content + "damaged\n")}))
    for rule in (Counts(rows=2), Calendar(start="1970-01-01", every="month", length=1000)):
        found, landing = landed(pond, source, plan(ROLES, rule), period(rule, 0))
        assert found == [row]
        [(reason, raw)] = aside(pond, landing)
        assert reason == "unreadable_row" and "damaged" in raw, aside(pond, landing)


def test_reviews_that_are_none(pond: Warehouse, tmp_path: Path) -> None:
    rule = Counts(rows=1)
    for name, content, says in (
        (
            "movies.csv",
            "movieId,title\n1,Heat\n",
            r"movies\.csv holds no reviews .*columns are 'movieId', 'title'.*Yelp",
        ),
        ("business.json", '{"business_id": "x", "name": "y"}\n', "holds no reviews that are known"),
        ("tip.json", "[]\n", "no line that is a JSON object"),
        ("empty.csv", "", "is empty"),
    ):
        with pytest.raises(ValueError, match=says):
            land_period(pond, Reviews(write(tmp_path / name, content)), plan(ROLES, rule), period(rule, 0))
    with pytest.raises(FileNotFoundError):
        land_period(pond, Reviews(str(tmp_path / "absent.json")), plan(ROLES, rule), period(rule, 0))
    with pytest.raises(ValueError, match="reviews needs `path`"):
        Reviews("")


EVENTS = Columns(user="userId", item="id", time="time", categorical=("city",))
READ = '{"eventId": %d, "userId": "cx:13%d", "id": "%s", "time": %d, "city": "trondheim", "activeTime": 12, "url": "http://adressa.no/x.ece"}\n'
FRONT = '{"eventId": 7, "userId": "cx:137", "time": 1483225300, "city": "oslo", "url": "http://adressa.no"}\n'
CUTS = Calendar(start="2017-01-01", timezone="Europe/Oslo", cuts=("10:00", "17:00", "24:00"))


def test_adressa(pond: Warehouse, tmp_path: Path) -> None:
    """Reading events go to the cuts of Oslo's day; the front page is nobody's article; a damaged line is put aside."""
    nine, noon, night = 1483257600, 1483268400, 1483308000  # 9:00, 12:00 and 23:00 in Oslo on New Year's Day
    write(tmp_path / "20170101", FRONT + READ % (1, 1, "a1", nine) + "{damaged\n" + READ % (2, 2, "b2", noon))
    write(tmp_path / "20170102.gz", READ % (3, 3, "c3", night) + "\n" + FRONT)  # an event late in the next day's file
    write(tmp_path / "20170501", "not one event\n")  # months away: not opened
    source, made = Adressa(str(tmp_path / "2017*")), plan(EVENTS, CUTS)
    morning, landing = landed(pond, source, made, period(CUTS, 0))
    assert morning == [("cx:131", "a1", nine, None)]
    [(reason, raw)] = aside(pond, landing)
    assert reason == "unreadable_row" and "{damaged" in raw
    assert landed(pond, source, made, period(CUTS, 1))[0] == [("cx:132", "b2", noon, None)]
    assert landed(pond, source, made, period(CUTS, 2))[0] == [("cx:133", "c3", night, None)]
    with pytest.raises(FileNotFoundError, match="is named by a date near period 2017-02-10"):
        land_period(pond, source, made, period(CUTS, 120))
    with pytest.raises(ValueError, match="no line that is a JSON object"):
        land_period(pond, source, made, period(CUTS, 360))
    with pytest.raises(ValueError, match="adressa needs `path`"):
        Adressa("")


def test_a_line_that_is_no_text_is_put_aside(pond: Warehouse, tmp_path: Path) -> None:
    """One event of another encoding among events does not stop a night."""
    content = (READ % (1, 1, "a1", 1483257600)).encode()
    (tmp_path / "20170101").write_bytes(content + content.replace(b"trondheim", b"\xff\xfe").replace(b"a1", b"a2"))
    found, landing = landed(pond, Adressa(str(tmp_path / "20170101")), plan(EVENTS, CUTS), period(CUTS, 0))
    assert [item for _, item, *_ in found] == ["a1"]
    assert [reason for reason, _ in aside(pond, landing)] == ["unreadable_row"]
