"""The shipped plans of known data sets: each reads its format and none of its rows offends, from disk and from S3."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns, Counts, Part, Plan
from nightloop.tasks.plugins.assembly import read_plan
from nightloop.tasks.sources import build
from nightloop.tasks.sources.files import Files
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from tests.lake.make_lake import day, lake
from tests.s3_servers import Server

PLANS = Path(__file__).parents[2] / "infra" / "plans"
ROWS = 600  # of every file
LETTERS = "-0_1abcdefghij"


def adressa(random: np.random.Generator) -> dict[str, str]:
    """Two days by the minute, every third event on the front page."""
    events = []
    for n in range(ROWS):
        event = {
            "eventId": n,
            "userId": f"cx:{random.integers(50)}",
            "time": 1483225200 + 288 * n,
            "url": "http://adressa.no",
        }
        events.append(json.dumps(event if n % 3 == 0 else event | {"id": f"{random.integers(30):040x}"}) + "\n")
    return {"20170101": "".join(events[: ROWS // 2]), "20170102": "".join(events[ROWS // 2 :])}


def yelp(random: np.random.Generator) -> dict[str, str]:
    """Ids of 22 letters, which may begin with - and a digit."""
    ids = ["".join(random.choice(list(LETTERS), 22)) for _ in range(80)] + ["-1UMR00eXtwaeh59pu6sA0"]
    rows = ({"review_id": str(n), "user_id": str(random.choice(ids)), "business_id": str(random.choice(ids)), "stars": 4.0,
             "text": 'so "good"\n', "date": f"2016-{1 + n // 50:02d}-09 00:{n % 60:02d}:00"} for n in range(ROWS))  # fmt: skip
    return {"yelp_academic_dataset_review.json": "".join(json.dumps(row) + "\n" for row in rows)}


def amazon(random: np.random.Generator) -> dict[str, str]:
    lines = (
        f"A{random.integers(50):027d},B{random.integers(30):09d},4.0,{1262304000000 + 86400000 * n}\n"
        for n in range(ROWS)
    )
    return {"Video_Games.csv.gz": "user_id,parent_asin,rating,timestamp\n" + "".join(lines)}


def movietweetings(random: np.random.Generator) -> dict[str, str]:
    lines = (f"{random.integers(50)}::{random.integers(30):07d}::8::{1362000000 + 60 * n}\n" for n in range(ROWS))
    return {"ratings.dat": "".join(lines)}


def movielens(random: np.random.Generator) -> dict[str, str]:
    """A fifth of the ratings are of earlier years than the plan takes."""
    lines = (f"{random.integers(50)},{random.integers(30)},{random.integers(1, 11) / 2},"
             f"{1388534400 + 3600 * (n - ROWS // 5)}\n" for n in range(ROWS))  # fmt: skip
    return {"ratings.csv": "userId,movieId,rating,timestamp\n" + "".join(lines)}


def criteo(random: np.random.Generator) -> dict[str, str]:
    """Every tenth value is missing."""
    lines = []
    for _ in range(ROWS):
        values = [str(v) for v in random.integers(-2, 99, 13)] + [f"{v:08x}" for v in random.integers(0, 99, 26)]
        lines.append("\t".join([str(random.integers(2)), *("" if random.random() < 0.1 else v for v in values)]) + "\n")
    return {"train.txt": "".join(lines)}


def avazu(random: np.random.Generator) -> dict[str, str]:
    names = ["id", "click", "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain",
             "app_category", "device_id", "device_ip", "device_model", "device_type", "device_conn_type",
             *(f"C{n}" for n in range(14, 22))]  # fmt: skip
    lines = (",".join([str(10**19 + n), str(random.integers(2)), f"14102{1 + n // 300}{n % 24:02d}",
                       *(f"{v:08x}" for v in random.integers(0, 50, 19)), "-1", "79"]) for n in range(ROWS))  # fmt: skip
    return {"train.gz": "\n".join([",".join(names), *lines]) + "\n"}


def open_bandit(random: np.random.Generator) -> dict[str, str]:
    """Two days; the first column has no name, and times have an offset."""
    names = ["", "timestamp", "item_id", "position", "click", "propensity_score", *(f"user_feature_{n}" for n in range(4)),
             "user-item_affinity_0"]  # fmt: skip
    lines = (f"{n},2019-11-{24 + n // 300} 00:{n % 300 // 60:02d}:{n % 60:02d}.004101+00:00,{random.integers(80)},"
             f"{1 + n % 3},{random.integers(2)},0.0125,81ce,f1c2,{1 + random.integers(9):032x},c39b,0.0" for n in range(ROWS))  # fmt: skip
    return {"all.csv": "\n".join([",".join(names), *lines]) + "\n"}


def one_hot(name: str, fields: int) -> Callable[[np.random.Generator], dict[str, str]]:
    def files(random: np.random.Generator) -> dict[str, str]:
        lines = [" ".join([str(random.choice([-1, 1])), *(f"{50 * k + random.integers(50)}:1" for k in range(fields))]) + "\n"
                 for _ in range(ROWS)]  # fmt: skip
        parts = (("train", lines[:400]), ("validation", lines[400:500]), ("test", lines[500:]))
        return {f"{name}.{part}.libfm": "".join(some) for part, some in parts}

    return files


SETS: dict[str, tuple[Callable[[np.random.Generator], dict[str, str]], int]] = {  # and how many rows are to be found
    "adressa": (adressa, 400), "yelp": (yelp, 600), "amazon": (amazon, 600), "movietweetings": (movietweetings, 600),
    "movielens-25m": (movielens, 480), "criteo": (criteo, 600), "avazu": (avazu, 600), "open-bandit": (open_bandit, 600),
    "frappe": (one_hot("frappe", 10), 600), "movielens-tags": (one_hot("ml-tag", 3), 600),
}  # fmt: skip


def placed(name: str, place: str) -> Plan:
    """The shipped plan, with its files in `place` and periods as small as the data."""
    plan = read_plan(PLANS / f"{name}.yaml")
    options = dict(plan.source.options)
    given = options["path"] if isinstance(options["path"], list) else [options["path"]]
    paths = [f"{place}/{str(path).rsplit('/', 1)[-1]}" for path in given]
    options |= {"path": paths if len(paths) > 1 else paths[0]} | ({"rows_a_day": 200} if name == "criteo" else {})
    periods = Counts(rows=SETS[name][1] // 2) if isinstance(plan.periods, Counts) else plan.periods
    return plan.model_copy(update={"source": Part(use=plan.source.use, options=options), "periods": periods})


def rows_of(warehouse: Warehouse, plan: Plan, count: int) -> int:
    """Rows that arrived over the first periods; none is put aside but as a duplicate."""
    found = 0
    for index in range(count):
        landing = land_period(warehouse, build(plan.source), plan, period(plan.periods, index))
        verdict = validate_period(warehouse, plan, period(plan.periods, index), landing.version, EarlierNights())
        asked = (
            "SELECT count(DISTINCT arrival) FROM quarantine WHERE period = ? AND version = ? AND reason <> 'duplicate'"
        )
        [(bad,)] = warehouse.connection.execute(asked, [index, landing.version]).fetchall()
        assert bad == 0 and verdict.verdict != "blocked", verdict.reasons
        found += landing.rows
    return found


PERIODS = {"adressa": 6, "amazon": 4, "criteo": 3}
OFTEN = ("yelp", "movietweetings", "avazu", "frappe")  # the others, which take a minute each, in `make soak`


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in OFTEN else pytest.mark.soak) for n in SETS])
def test_a_shipped_plan_reads_its_data_set(tmp_path: Path, name: str) -> None:
    make, rows = SETS[name]
    for file, text in make(np.random.default_rng(7)).items():
        data = text.encode()
        (tmp_path / file).write_bytes(gzip.compress(data) if file.endswith(".gz") else data)
    plan = placed(name, str(tmp_path))
    with lake(tmp_path / "lake") as warehouse:
        assert rows_of(warehouse, plan, PERIODS.get(name, 2)) == rows


def test_open_bandits_real_sample(tmp_path: Path) -> None:
    """40,000 impressions by the shipped plan, but for the names and the campaigns of this copy of them."""
    folder = Path(os.environ.get("NIGHTLOOP_DATA_DIR", Path(__file__).parents[2] / "../shared/data"))
    if not (folder / "open_bandit.parquet").exists():
        pytest.skip("open_bandit.parquet is not here: name its folder in NIGHTLOOP_DATA_DIR")
    plan = placed("open-bandit", str(folder))
    there = {"time": "ts", "label": "label", "categorical": (*plan.columns.categorical, "campaign", "policy"),
             "key": ("ts", "policy", "campaign", "item_id", "position")}  # fmt: skip
    source = Part(use="files", options={"path": str(folder / "open_bandit.parquet")})
    plan = plan.model_copy(update={"source": source, "columns": plan.columns.model_copy(update=there)})
    with lake(tmp_path) as warehouse:
        assert rows_of(warehouse, plan, 7) == 40_000
        asked = "SELECT sum(label), min(time)::DATE::VARCHAR, count(DISTINCT item) FROM newest_logs"
        assert warehouse.connection.execute(asked).fetchall() == [(207, "2019-11-24", 46)]


@pytest.mark.parametrize("name", [pytest.param("adressa", marks=pytest.mark.soak), "amazon", "frappe"])
def test_files_on_s3(tmp_path: Path, moto: Server, name: str) -> None:
    """Day files by a pattern, csv.gz, and several files in order, from a bucket."""
    bucket = moto.bucket()
    for file, text in SETS[name][0](np.random.default_rng(7)).items():
        body = gzip.compress(text.encode()) if file.endswith(".gz") else text.encode()
        moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=file, Body=body)
    with Warehouse.open(moto.settings("store", tmp_path), "pond", moto.credentials) as warehouse:
        assert rows_of(warehouse, placed(name, bucket), PERIODS.get(name, 2)) == SETS[name][1]


@pytest.mark.parametrize("ending", ["parquet", "csv.gz", "jsonl"])
def test_a_file_that_is_gone_from_s3_is_a_file_that_is_not_there(tmp_path: Path, moto: Server, ending: str) -> None:
    """It was an error of the store, so that a chain could not be made again from the lake once S3 had deleted old files."""
    with Warehouse.open(moto.settings("store", tmp_path), "pond", moto.credentials) as warehouse:
        source = Files(f"{moto.bucket()}/logs/{{period}}.{ending}")
        with pytest.raises(FileNotFoundError, match=r"no file 's3://test-\w+/logs/2026-01-01\.\S+': deliver it"):
            list(source.batches(warehouse, day(0), Columns(user="user", item="item", time="time")))
