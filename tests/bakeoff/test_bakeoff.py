"""Bake-offs: an equal footing, the nights' own numbers, resumed without work done twice, and nothing promoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import nightloop.tasks.collect
import nightloop.tasks.resources
from nightloop.tasks.bakeoff.run_result import RunResult
from nightloop.tasks.schedule import decide_override
from tests.bakeoff.make_specs import WHEN, Oven, bake, computed_by, oven
from tests.flows.tiny_pipeline import Tiny, begin, make, raw_plan

pytestmark = pytest.mark.xdist_group("bakeoff")  # one process: what these tests begin from is made once
DIVERGES = {"use": "FineTune", "options": {"training": {"lr": 1e30}}}


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Nights 1 (the root) to 5 are done, all eight days are delivered."""
    return begin(tmp_path_factory, monkeypatch, 1, 2, 3, 4, 5)


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Oven:
    return oven(monkeypatch)


def ordered(tiny: Tiny, **fields: Any) -> str:
    """The path of an order."""
    path = tiny.home / "order.yaml"
    path.write_text(yaml.safe_dump({"bakeoff": fields}))
    return str(path)


def test_it_gets_the_nights_own_numbers(tiny: Tiny, kitchen: Oven) -> None:
    found = bake(tiny.path)
    chain = tiny.chain()
    assert found["test"] == [tiny.name(day) for day in (2, 3, 4, 5)]
    for label in ("still", "tuned", "popular"):
        nights = {tiny.name(day): chain[day].scores[label].means["ndcg@20"] for day in (2, 3, 4, 5)}
        assert found["curves"]["uniform"][label] == nights


def test_the_whole_catalogue_is_ranked_beside_the_candidates_and_may_lead(tiny: Tiny, kitchen: Oven) -> None:
    found = bake(tiny.path)
    chain = tiny.chain()
    for line in found["leaderboard"]["uniform"]:
        name, of_nights = line["entrant"], [chain[day].scores[line["entrant"]].means for day in (2, 3, 4, 5)]
        for metric in ("catalogue_ndcg@20", "catalogue_recall@20"):
            weighted = sum(means[metric] * means["rows"] for means in of_nights)
            assert line["means"][metric] == pytest.approx(weighted / sum(means["rows"] for means in of_nights)), name
            assert metric not in line["personalisation"] and line["means"][metric] <= line["means"][metric[10:]]
    assert "catalogue ndcg@20" in Path(found["report"]).read_text()
    with pytest.raises(ValueError, match=r"metric: given 'catalogue_ndcg@20'"):
        bake(tiny.path, spec=ordered(tiny, metric="catalogue_ndcg@20"))
    whole = {"ranking": {"negatives": 20, "catalogue": True}, "gate": {"metric": "catalogue_ndcg@20"}}
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, whole)))
    found = bake(tiny.path)
    values = [line["means"]["catalogue_ndcg@20"] for line in found["leaderboard"]["uniform"]]
    assert found["metric"] == "catalogue_ndcg@20" and values == sorted(values, reverse=True) and not found["failed"]


def test_everybody_is_ranked_against_the_same_candidates(tiny: Tiny, kitchen: Oven) -> None:
    found = bake(tiny.path, seeds=(0, 7), candidates="both")
    cells = found["cells"]
    assert len(cells) == 6
    for seed in (0, 7):
        dealt = [cell["candidates"] for cell in cells if cell["seed"] == seed]
        assert dealt[0] and all(one == dealt[0] for one in dealt)
        assert set(dealt[0]) == {f"{kind}/{p}" for kind in ("uniform", "popular") for p in (2, 3, 4, 5)}
    assert cells[0]["candidates"] != cells[1]["candidates"]
    assert len([job for job in kitchen.jobs if job.do == "start"]) == 2, "once a seed, not once a strategy"
    assert len([job for job in kitchen.jobs if job.do == "deal"]) == 2


def test_only_what_is_missing_runs_again(tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bake(tiny.path, strategies=("still", "tuned"))
    assert kitchen.cells() == ["still, seed 0", "tuned, seed 0"]
    kitchen.jobs.clear()
    assert bake(tiny.path, strategies=("still", "tuned")) == first and not kitchen.jobs
    bake(tiny.path, seeds=(0, 1), strategies=("still", "tuned"))
    assert kitchen.cells() == ["still, seed 1", "tuned, seed 1"]
    kitchen.jobs.clear()
    bake(tiny.path, test_periods=("2026-01-05",), baselines=("still",))
    assert kitchen.cells() == ["popular, seed 0"], "other test periods and rivals ask for no work"


def test_what_was_interrupted_goes_on(tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(job: Any) -> None:
        if job.label == "popular" and job.do == "cell":
            raise KeyboardInterrupt
        kitchen.work(job)

    with monkeypatch.context() as patch:
        computed_by(patch, stopped)
        with pytest.raises(KeyboardInterrupt):
            bake(tiny.path)
    kitchen.jobs.clear()
    bake(tiny.path)
    assert kitchen.cells() == ["popular, seed 0"]


def record() -> dict[str, object]:
    """Nights, log and champion, as they are stored."""
    objects = nightloop.tasks.resources.open_store()
    keys = [k for k in objects.keys("") if "/nights/" in k or "/log/" in k or "champion" in k]
    return {key: objects.read(key) for key in keys}


def test_no_night_and_no_champion_is_touched(tiny: Tiny, kitchen: Oven) -> None:
    before, blobs = record(), tiny.record()
    assert any("champion" in key for key in before) and len(before) > 5
    bake(tiny.path, end="2026-01-08")
    assert record() == before
    after = tiny.record()
    assert {key: after[key] for key in blobs} == blobs


@pytest.mark.soak
def test_periods_that_the_lake_lacks_are_collected_and_validated(
    tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(*range(5))
    found = bake(tiny.path, end="2026-01-05")
    assert [one["name"] for one in found["history"]] == [tiny.name(day) for day in range(5)]
    assert not tiny.chain(), "no night was recorded"
    with pytest.raises(LookupError, match=r"2026-01-06 cannot be collected.*end before it: --end 2026-01-05"):
        bake(tiny.path, end="2026-01-07")
    tiny.deliver(5, bad=True)
    with pytest.raises(ValueError, match=r"2026-01-06 of tiny is stopped by validation.*Nothing was replayed"):
        bake(tiny.path, end="2026-01-06")


@pytest.mark.soak
def test_a_period_that_an_operator_passed_over_is_left_out(
    tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(0, 1, 2, 4, 5)
    tiny.deliver(3, bad=True)
    plan = tiny.plan
    landing = nightloop.tasks.collect.collect.fn(plan, 3)
    decide_override(plan, landing, "", "the shop was closed", WHEN)
    found = bake(tiny.path, end="2026-01-06")
    assert found["test"] == ["2026-01-03", "2026-01-05", "2026-01-06"]
    assert "2026-01-04" not in [one["name"] for one in found["history"]]
    with pytest.raises(ValueError, match="every test period was skipped by an operator"):
        bake(tiny.path, end="2026-01-06", test_periods=("2026-01-04",))


def test_a_diverging_strategy_is_named_and_the_others_finish(tiny: Tiny, kitchen: Oven) -> None:
    order = ordered(tiny, strategies={"still": None, "tuned": None, "wild": DIVERGES})
    found = bake(tiny.path, spec=order)
    assert {line["entrant"] for line in found["leaderboard"]["uniform"]} == {"still", "tuned"}
    (failed,) = found["failed"]
    assert failed["entrant"] == "wild" and "diverged" in failed["reason"]
    assert any("wild failed: " in said for said in found["advice"]) and "wild" in found["text"]
    assert "wild" in Path(found["report"]).read_text()
    kitchen.jobs.clear()
    bake(tiny.path, spec=order)
    assert kitchen.cells() == ["wild, seed 0"], "what failed is tried again, and nothing else"


def test_all_failed_is_said(tiny: Tiny, kitchen: Oven) -> None:
    found = bake(tiny.path, spec=ordered(tiny, strategies={"wild": DIVERGES}))
    assert found["advice"][0].startswith("All runs failed") and not found["leaderboard"]["uniform"]


def test_a_process_that_dies_is_a_failed_cell(tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(job: Any) -> None:
        if job.do == "cell" and job.label == "tuned":
            raise RuntimeError("tuned, seed 0: its process was ended by signal 9 (out of memory?)")
        kitchen.work(job)

    computed_by(monkeypatch, killed)
    found = bake(tiny.path)
    assert [one["reason"] for one in found["failed"]] == [
        "tuned, seed 0: its process was ended by signal 9 (out of memory?)"
    ]


@pytest.mark.soak
def test_a_list_that_all_share_is_not_personal(tiny: Tiny, kitchen: Oven) -> None:
    lines = {line["entrant"]: line for line in bake(tiny.path)["leaderboard"]["uniform"]}
    assert all(value == 0 for name, value in lines["popular"]["personalisation"].items() if "@" in name)
    assert any(value != 0 for value in lines["tuned"]["personalisation"].values())


def test_tuning_is_on_earlier_periods_and_everything_tried_is_recorded(tiny: Tiny, kitchen: Oven) -> None:
    grid = {"tuned": {"training.lr": [0.01, 0.5, 1e39]}}
    found = bake(tiny.path, spec=ordered(tiny, tune=grid, tune_periods=["2026-01-03", "2026-01-04"]))
    assert found["tune_periods"] == ["2026-01-03", "2026-01-04"] and found["test"] == ["2026-01-05", "2026-01-06"]
    tried = found["tuning"]
    assert [t["options"] for t in tried] == [{"training.lr": 0.01}, {"training.lr": 0.5}, {"training.lr": 1e39}]
    assert "diverged" in tried[2]["failed"]
    (chosen,) = [t for t in tried if t["chosen"]]
    assert chosen["value"] == max(t["value"] for t in tried[:2])
    (mine,) = [e["strategy"]["options"] for e in found["entrants"] if e["name"] == "tuned"]
    assert mine["training"] == {"epochs": 1, "lr": chosen["options"]["training.lr"]}
    trials = [job for job in kitchen.jobs if job.do == "cell" and max(job.periods) == 3]
    assert len(trials) == 3, "trials never see a test period"


@pytest.mark.soak
def test_several_models_race_within_the_model(tiny: Tiny, kitchen: Oven) -> None:
    order = ordered(
        tiny, models={"narrow": {"use": "MF", "options": {"width": 2}}, "plan": {"use": "MF", "options": {"width": 4}}}
    )
    found = bake(tiny.path, spec=order, strategies=("still", "tuned"))
    names = {line["entrant"] for line in found["leaderboard"]["uniform"]}
    assert names == {"still · narrow", "still · plan", "tuned · narrow", "tuned · plan"}
    (line,) = [one for one in found["leaderboard"]["uniform"] if one["entrant"] == "still · plan"]
    assert line["baselines"]["tuned"]["rival"] == "tuned · plan"


def test_the_document_is_in_the_store_and_beside_the_report(tiny: Tiny, kitchen: Oven) -> None:
    found = bake(tiny.path, seeds=(0, 1))
    written = json.loads(Path(found["json"]).read_text())
    assert written["leaderboard"] == found["leaderboard"] and "<svg" in Path(found["report"]).read_text()
    objects = nightloop.tasks.resources.open_store()
    kept = [json.loads(objects.read(k)[0]) for k in objects.keys("blobs/") if objects.read(k)[0][:10] == b'{"advice":']
    assert any(one["leaderboard"] == found["leaderboard"] for one in kept)
    line = found["leaderboard"]["uniform"][0]
    assert set(line["sd_over_seeds"]) == set(line["means"]) and line["state"] > 0 and line["seconds_a_period"] >= 0
    rival = next(v for one in found["leaderboard"]["uniform"] for v in one["baselines"].values())
    assert rival["ndcg@20"]["low"] <= rival["ndcg@20"]["mean"] <= rival["ndcg@20"]["high"]
    assert [one["history_rows"] for one in found["time"]["tuned"]] == sorted(
        one["history_rows"] for one in found["time"]["tuned"]
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"strategies": ["nobody"]}, r"strategies: 'nobody' is not known; the plan has still, tuned, popular; installed"),
        ({"models": ["GPT"]}, r"models: 'GPT' is not known; the plan has MF; installed are"),
        ({"seeds": [1, 1]}, "names one twice"),
        ({"seeds": [-1]}, "given -1; a seed is 0 or more"),
        ({"end": "2026-01-02"}, "end: 2026-01-02 is not after the root 2026-01-02"),
        ({"end": "yesterday"}, "end: no period 'yesterday'"),
        ({"end": "2026-02-02"}, "end: 2026-02-02 is not over yet"),
        ({"test_periods": ["2026-01-01"]}, "periods: 2026-01-01 is not within the scored periods, 2026-01-03 to 2026-01-06"),
        ({"test_periods": ["2026-01-05..2026-01-04"]}, "is reversed"),
        ({"baselines": ["nobody"]}, "baselines: 'nobody' is not an entrant; allowed are still, tuned, popular"),
        ({"metric": "auc"}, "metric: given 'auc'; of this plan's logs there are ndcg@5"),
        ({"tune": {"tuned": {"training.lr": [1]}}}, "tune and tune_periods go together"),
        ({"tune": {"tuned": {"lr": [1]}}, "tune_periods": ["2026-01-03"]}, "tune.tuned lr 1: lr: no such option"),
        (
            {"tune": {"tuned": {"training.lr": [1]}}, "tune_periods": ["2026-01-04"], "test_periods": ["2026-01-03"]},
            "test periods must all come after",
        ),
        (
            {"tune": {"tuned": {"training.lr": [1]}}, "tune_periods": ["2026-01-03..2026-01-06"]},
            "no period is left to test on",
        ),
        ({"candidates": "many"}, "candidates: given 'many'; input should be 'uniform', 'popular' or 'both'"),
        ({"strategys": []}, "strategys: unknown field \(did you mean strategies\?\); allowed here: strategies, models, seeds"),
        ({"models": ["DeepFM"]}, "model DeepFM is for ctr logs"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_before_anything_runs(tiny: Tiny, kitchen: Oven, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        bake(tiny.path, spec=ordered(tiny, **fields))
    assert "mistake" in str(told.value) and "nothing was run" in str(told.value) and not kitchen.jobs


def test_all_mistakes_are_said_at_once(tiny: Tiny, kitchen: Oven) -> None:
    with pytest.raises(ValueError, match="3 mistakes") as told:
        bake(tiny.path, spec=ordered(tiny, strategies=["nobody"], seeds=[3, 3], end="2026-01-01"))
    assert all(word in str(told.value) for word in ("nobody", "twice", "not after the root"))
    with pytest.raises(FileNotFoundError, match="the specification of a bake-off is a YAML file"):
        bake(tiny.path, spec="nowhere.yaml")
    with pytest.raises(ValueError, match="workers: given 0"):
        bake(tiny.path, workers=0)


def test_an_outcome_says_what_it_took() -> None:
    found = RunResult(weights_bytes=3, memory_bytes=4, peak=10, idle=12)
    assert found.state == 7 and found.working == 0
