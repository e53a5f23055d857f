"""The demo as a newcomer runs it, and what it says one can do next."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import nightloop.flows.demo.loop
import nightloop.flows.demo.plans
from nightloop.flows.demo.plans import own_plan, write_plan
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.sources.simulated import Simulated
from tests.flows.run_cli import document, said
from tests.flows.tiny_pipeline import raw_plan

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A fresh home."""
    return {"NIGHTLOOP_HOME": str(tmp_path_factory.mktemp("demo") / "home")}


WORDS = ("stops that night", "an operator skips it", "collected again it is a new version",
         "its predecessor, 2026-01-12, was run again", "the gate refused", "rolls it back", "of the oracle")  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_demo_shows_every_turn_and_its_pipeline_can_be_gone_on_with(surroundings: dict[str, str]) -> None:
    done = said(surroundings, "demo", "--json", timeout=900)
    found = document(done)
    for words in WORDS:
        assert words in done.stderr, f"{words!r} is missing in {done.stderr}"
    assert len(found["nights"]) == 15
    complete(found)
    again = document(said(surroundings, "status", "demo", "--json"))
    assert again["nights"] == found["nights"]
    refused = said(surroundings, "promote", "demo")
    assert refused.returncode == 2 and "a promotion needs a reason" in refused.stderr
    freed = document(said(surroundings, "promote", "demo", "--reason", "the cause is gone", "--json"))
    assert "serves from now on" in freed["text"]


@pytest.mark.timeout(900)
def test_the_demo_in_a_small_world_of_fewer_nights_shows_every_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(nightloop.flows.demo.loop, "Simulated", partial(Simulated, users=300, items=250, rows=1500))
    for module in (nightloop.flows.demo.loop, nightloop.flows.demo.plans):
        monkeypatch.setattr(module, "LAST", 14)
    out = io.StringIO()
    monkeypatch.setattr(nightloop.flows.demo.loop.console, "file", out)
    found = nightloop.flows.demo.loop.demo(None, "", False)
    told = " ".join(out.getvalue().split())
    for words in WORDS:
        assert words in told, f"{words!r} is missing in {told}"
    assert len(found["nights"]) == 11
    complete(found)


def complete(found: dict[str, Any]) -> None:
    """Every night is, a person took the champion back, and the page shows what happened."""
    assert {night["state"] for night in found["nights"]} == {"complete"}
    assert found["champion"]["action"] == "rollback" and len(found["leaderboard"]) == 6
    page = Path(found["report"]).read_text()
    assert "<svg" in page and "revision 1 was blocked" in page and "upstream outage" in page


@pytest.fixture
def clicks(tmp_path: Path) -> str:
    """A csv file of somebody's clicks, with names that only they know."""
    random, file = np.random.default_rng(0), tmp_path / "my clicks.csv"
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["uid", "SKU", "at", "clicked", "colour"])
        for n in range(2000):
            user, item = int(random.integers(40)), int(random.integers(30))
            rows.writerow([user, item, 1_767_225_600 + 60 * n, int(random.random() < 0.2), "red"])
    return str(file)


def test_columns_that_cannot_be_guessed_are_asked_for(surroundings: dict[str, str], clicks: str) -> None:
    unknown = said(surroundings, "demo", "--data", clicks)
    assert unknown.returncode == 2 and "--columns user=uid,item=...,time=..." in unknown.stderr
    wrong = said(surroundings, "demo", "--data", clicks, "--columns", "usr=uid,item=SKU,time=at")
    assert "no role 'usr', user is missing" in wrong.stderr


@pytest.mark.parametrize(("taken", "repeats"), [(40, True), (1000, False)])
def test_a_plan_for_own_logs_says_whether_people_take_items_again(tmp_path: Path, taken: int, repeats: bool) -> None:
    """Without it, items that were taken are not recommended, and a blend of `Repeat` would be chosen for lists that nobody gets."""
    logs = tmp_path / "logs.csv"
    rows = (f"u{n % 25},i{n % taken},2026-01-01T00:{n // 60:02}:{n % 60:02}\n" for n in range(1000))
    logs.write_text("user,item,time\n" + "".join(rows))
    plan = own_plan(logs, "", {})
    assert plan.get("ranking") == ({"repeats": True} if repeats else None)
    assert plan["periods"] == {"rows": 50}


def test_own_logs_are_the_rows_of_one_file_alone(tmp_path: Path) -> None:
    """A plan's path may hold patterns; `a*.csv`, as a download may be called, took the rows of `a2.csv` as well."""
    for name in ("a*.csv", "a2.csv", "{period}.csv"):
        (tmp_path / name).write_text("user,item,time\n" + "u1,i1,2026-01-01\n" * 1000)
    for name in ("a*.csv", "{period}.csv"):
        with pytest.raises(PlanError, match="rename the file"):
            own_plan(tmp_path / name, "", {})
    assert own_plan(tmp_path / "a2.csv", "", {})["periods"] == {"rows": 50}


def test_a_new_demo_removes_no_work_of_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    for name in ("NIGHTLOOP_STORE", "NIGHTLOOP_DATA", "NIGHTLOOP_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    plan, record = raw_plan(tmp_path, {"pipeline": "own"}), tmp_path / "store" / "pipelines" / "own"

    def leave(path: Path, text: str = "{}") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    written = write_plan(plan)
    leave(record / "nights" / "000006" / "0001.json")
    assert write_plan(plan) == written and not record.exists(), "what only the demo made gives way"
    leave(record / "nights" / "000006" / "0001.json")
    served = leave(tmp_path / "served" / "own" / "served" / "2026-01-07.jsonl")
    with pytest.raises(PlanError, match="what was served lies in"):
        write_plan(plan)
    served.unlink()
    later = leave(record / "nights" / "000020" / "0001.json")
    with pytest.raises(PlanError, match="nights were run after those of the demo"):
        write_plan(plan)
    later.unlink()
    written.write_text(written.read_text() + "night_limit: 2\n")
    with pytest.raises(PlanError, match=r"own\.yaml was edited"):
        write_plan(plan)
    assert record.exists() and "night_limit: 2" in written.read_text()


def test_a_new_demo_removes_nothing_of_a_person_before_the_first_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of that name, written by hand or edited after a demo that failed; records; a user's file under home."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    for name in ("NIGHTLOOP_STORE", "NIGHTLOOP_DATA", "NIGHTLOOP_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    plan, path = raw_plan(tmp_path, {"pipeline": "own"}), tmp_path / "plans" / "own.yaml"
    served, data = (
        tmp_path / "served" / "own" / "served" / "2026-01-07.jsonl",
        tmp_path / "deliveries" / "own" / "r.csv",
    )
    for file in (served, data, path):
        file.parent.mkdir(parents=True)
        file.write_text("pipeline: own\n")
    with pytest.raises(PlanError, match="a plan 'own' that no demo made"):
        write_plan(plan)
    path.unlink()
    with pytest.raises(PlanError, match="what was served lies in"):
        write_plan(plan)
    assert served.exists()
    served.unlink()
    assert write_plan(plan) == path and data.exists()
    path.write_text(path.read_text() + "night_limit: 2\n")
    with pytest.raises(PlanError, match=r"own\.yaml was edited"):
        write_plan(plan)
    assert "night_limit: 2" in path.read_text()


@pytest.mark.parametrize(
    "file", ["lake/demo/main/landed/period=0/version=1/ducklake-1.parquet", "deliveries/demo/r.csv"]
)
def test_a_new_demo_removes_no_file_that_no_demo_made(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lake whose catalog is in PostgreSQL, or is lost, and whose record is on S3: the home has only its files."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    for name in ("NIGHTLOOP_STORE", "NIGHTLOOP_DATA", "NIGHTLOOP_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("rows")
    with pytest.raises(PlanError, match="holds files, a pipeline or a plan 'demo' that no demo made"):
        write_plan(raw_plan(tmp_path, {"pipeline": "demo"}))
    (tmp_path / file).unlink()
    assert write_plan(raw_plan(tmp_path, {"pipeline": "demo"})).exists(), "empty directories are nobody's work"


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_own_clicks_become_a_pipeline_beside_the_demo(surroundings: dict[str, str], clicks: str) -> None:
    done = said(
        surroundings,
        "demo",
        "--data",
        clicks,
        "--columns",
        "user=uid,item=SKU,time=at,label=clicked",
        "--json",
        "--no-tune",
    )
    found = document(done)
    assert "clicked is the click" in done.stderr and "not used: colour" in done.stderr
    assert len(found["nights"]) == 15 and found["pipeline"] == "own"
    assert any("better than predicting the mean click rate" in f["text"] for f in found["findings"]), (
        "these clicks are noise"
    )
    acted = ("promote", "own", "--strategy", "fine-tune", "--pin", "--force", "--reason", "our model")
    assert said(surroundings, *acted).returncode == 0
    refused = said(surroundings, "demo", "--data", clicks, "--columns", "user=uid,item=SKU,time=at,label=clicked")
    assert refused.returncode == 2 and "is in use: promote by" in refused.stderr and "our model" in refused.stderr
    assert "our model" in said(surroundings, "status", "own").stdout
    foreign = Path(surroundings["NIGHTLOOP_HOME"]) / "plans" / "own.yaml"
    foreign.write_text("# mine\n" + foreign.read_text())
    kept = said(surroundings, "demo", "--data", clicks, "--columns", "user=uid,item=SKU,time=at,label=clicked")
    assert kept.returncode == 2 and "no demo made" in kept.stderr


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_what_was_served_is_what_the_next_nights_learn_from(surroundings: dict[str, str]) -> None:
    done = said(surroundings, "demo", "--clicks", "--json", timeout=900)
    found = document(done)
    assert [night["state"] for night in found["nights"]] == ["complete"] * 5
    days = re.findall(
        r"LogLoss ([\d.]+) as predicted, ([\d.]+) as served, corrected; ([\d.]+) with the true", done.stderr
    )
    assert len(days) == 4 and all(float(truth) < float(base) for base, _, truth in days)
    assert sum(float(served) < float(base) for base, served, _ in days) >= 2, "correctors gain where the world moves"
    home = Path(surroundings["NIGHTLOOP_HOME"])
    with duckdb.connect() as asked:
        asked.execute(f"ATTACH 'ducklake:sqlite:{home / 'lake' / 'clicks.sqlite'}' AS lake (READ_ONLY)")
        rows = asked.execute("SELECT period, count(*), count(served) FROM lake.newest_logs GROUP BY ALL ORDER BY 1")
        kept = rows.fetchall()
    assert [count == served for _, count, served in kept] == [False] * 4 + [True] * 4
    lines = (home / "served" / "clicks" / "labelled" / "2026-01-07.jsonl").read_text().splitlines()
    assert len(lines) == 10_000 and json.loads(lines[0])["version"].startswith("2026-01-06/fine-tune/")
