"""Tuning: a new plan from past periods, the same each time, resumed without work done twice, and no night or plan changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import nightloop.flows.search_rounds
import nightloop.flows.tune
from nightloop.flows.bakeoff import WorkerPool
from nightloop.flows.demo import plans, tuned
from nightloop.flows.tune import tune
from nightloop.tasks.bakeoff.worker import Job
from nightloop.tasks.plan.atomic_file import is_generated
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plugins.assembly import read_plan
from nightloop.tasks.resources import read
from tests.bakeoff.make_specs import WHEN, Oven
from tests.flows.run_cli import refused
from tests.flows.tiny_pipeline import Tiny, begin, make, raw_plan, run

pytestmark = pytest.mark.xdist_group("bakeoff")  # one process: what these tests begin from is made once
SPACE = {
    "tuned": {"training.lr": {"low": 0.01, "high": 0.3, "log": True}, "training.epochs": [1, 5, 10]},
    "pretrain": {"training.l2": [0.01, 0.03]},
    "popular": {"half_life": {"low": 0.5, "high": 8.0}},
}


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Nights 1 (the root) to 5 are done, all eight days are delivered."""
    return begin(tmp_path_factory, monkeypatch, 1, 2, 3, 4, 5)


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Oven:
    """Trials that run in this process, one by one, counted."""
    made = Oven()
    compute_by(monkeypatch, made.work)
    monkeypatch.setattr(nightloop.flows.tune, "scheduled_time", lambda: WHEN)
    return made


def compute_by(monkeypatch: pytest.MonkeyPatch, compute: Any) -> None:
    pool = nullcontext(WorkerPool(compute, 1))
    monkeypatch.setattr(nightloop.flows.tune, "open_worker_pool", lambda runner, workers: pool)


def test_it_writes_a_better_plan_beside_the_old_one(tiny: Tiny, kitchen: Oven) -> None:
    before, record = tiny.path.read_bytes(), {k: v for k, v in tiny.record().items() if "/nights/" in k or "/log/" in k}
    found = tune(str(tiny.path), trials=8, space=SPACE)
    assert found["search"] == [tiny.name(day) for day in (2, 3, 4)] and found["check"] == [tiny.name(5)]
    assert {one["strategy"]: len(one["trials"]) for one in found["strategies"]} == {"tuned": 8, "popular": 8}
    chosen = {one["strategy"]: one for one in found["strategies"] if one["chosen"]}
    assert chosen, found["text"]
    for one in chosen.values():
        trials = [trial["value"] for trial in one["trials"] if trial["value"] is not None]
        assert max(trials) > one["own"]["value"] and one["after"] > one["before"]
    path = tiny.path.with_suffix(".tuned.yaml")
    new, old = read_plan(path), tiny.plan
    assert found["plan"] == str(path) and f"nightloop backfill {path}" in found["text"]
    (name,) = re.findall(
        r"On other machines that see the store, its name is ([\w@-]+)", found["text"].replace("\\", "")
    )
    assert read(name) == new
    assert new.pipeline == "tiny-tuned", "its nights are there already, and stay"
    assert new.strategies.keys() == old.strategies.keys() and new.strategies != old.strategies
    assert "# Tuning improves" in path.read_text()
    assert tiny.path.read_bytes() == before
    assert record == {k: v for k, v in tiny.record().items() if "/nights/" in k or "/log/" in k}
    page = Path(found["report"]).read_text()
    assert Path(found["report"]).name == "tiny.tuning.html", "not the name of a report of the pipeline tiny-tuning"
    assert page.count("<svg") == 2 and "the plan&#x27;s settings" in page and "chosen" in page


def test_a_tuned_plan_that_has_nights_is_not_replaced(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tuning needs another file, and then has another pipeline."""
    found = tune(str(tiny.path), trials=8, space=SPACE)
    path = Path(found["plan"])
    run(Tiny(tiny.home, path), 1)
    before = path.read_bytes()
    with pytest.raises(PlanError, match=r"is the plan of the pipeline tiny-tuned, which has nights.*--out"):
        tune(str(tiny.path), trials=8, space=SPACE)
    again = tune(str(tiny.path), trials=8, space=SPACE, out=str(tiny.home / "other.yaml"))
    assert read_plan(Path(again["plan"])).pipeline == "tiny-tuned-2" and path.read_bytes() == before
    assert read_plan(path).strategies == read_plan(Path(again["plan"])).strategies


def during_the_search(monkeypatch: pytest.MonkeyPatch, kitchen: Oven, act: Callable[[], object]) -> None:
    """Let a person act as soon as the first piece of the search runs."""
    done: list[object] = []

    def work(job: Job) -> None:
        if not done:
            done.append(act() or True)
        kitchen.work(job)

    compute_by(monkeypatch, work)


def test_a_tuned_plan_that_gets_nights_during_a_search_is_not_replaced(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search looked at the file before it began, and replaced it hours later."""
    path = Path(tune(str(tiny.path), trials=8, space=SPACE)["plan"])
    before = path.read_bytes()
    during_the_search(monkeypatch, kitchen, lambda: run(Tiny(tiny.home, path), 1))
    with pytest.raises(PlanError, match=r"is the plan of the pipeline tiny-tuned, which has nights"):
        tune(str(tiny.path), trials=12, space=SPACE)
    assert path.read_bytes() == before


def test_a_plan_that_is_edited_during_a_search_is_not_mixed_with_what_it_was(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new plan had the gate of the edited plan and the strategies of the one before."""
    edited = raw_plan(tiny.home, {"gate": {"require_approval": True}})
    edited["strategies"]["recent"] = {"use": "Recency"}
    during_the_search(monkeypatch, kitchen, lambda: tiny.path.write_text(yaml.safe_dump(edited)))
    with pytest.raises(ConflictError, match="was edited while it was tuned"):
        tune(str(tiny.path), trials=8, space=SPACE)
    assert not tiny.path.with_suffix(".tuned.yaml").exists()
    compute_by(monkeypatch, kitchen.work)
    new = read_plan(Path(tune(str(tiny.path), trials=8, space=SPACE)["plan"]))
    assert "recent" in new.strategies and new.gate.require_approval


def test_no_trial_sees_the_periods_of_the_check(tiny: Tiny, kitchen: Oven) -> None:
    tune(str(tiny.path), trials=4, space={"popular": SPACE["popular"]})
    trials = [job for job in kitchen.jobs if "trial" in job.title]
    assert trials and {job.periods for job in trials} == {(2, 3, 4)}
    assert [job.periods for job in kitchen.jobs if "check of the choice" in job.title] in ([(2, 3, 4, 5)], [])


def test_the_same_logs_seed_and_trials_give_the_same_choice_and_nothing_runs_twice(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(str(tiny.path), trials=4, space=SPACE)
    plan = tiny.path.with_suffix(".tuned.yaml")
    written = plan.read_bytes() if first["plan"] else b""
    kitchen.jobs.clear()
    assert tune(str(tiny.path), trials=4, space=SPACE) == first and not kitchen.jobs
    assert not written or plan.read_bytes() == written
    more = tune(str(tiny.path), trials=8, space=SPACE)
    for one, other in zip(first["strategies"][:1], more["strategies"], strict=False):
        assert other["trials"][:4] == one["trials"], "it goes on where it was"
    assert len([job for job in kitchen.jobs if "tuned, trial" in job.title]) == 4


def test_what_was_interrupted_goes_on(tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(job: Job) -> None:
        if job.title in ("tuned, trial 3", "tuned, trial 4"):
            raise KeyboardInterrupt
        kitchen.work(job)

    compute_by(monkeypatch, stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(str(tiny.path), trials=4, space=SPACE)
    done = [job.title for job in kitchen.jobs if "trial" in job.title]
    kitchen.jobs.clear()
    compute_by(monkeypatch, kitchen.work)
    tune(str(tiny.path), trials=4, space=SPACE)
    assert not {*done} & {job.title for job in kitchen.jobs} and "tuned, trial 3" in [j.title for j in kitchen.jobs]


def test_a_hopeless_trial_ends_early(tiny: Tiny, kitchen: Oven) -> None:
    found = tune(str(tiny.path), trials=16, space={"tuned": SPACE["tuned"]})
    (one,) = found["strategies"]
    stopped = [trial for trial in one["trials"] if trial["stopped"]]
    assert stopped and all(trial["value"] is None and len(trial["running"]) < 3 for trial in stopped)
    assert not any(trial["settings"] == one["chosen"] for trial in stopped)


def test_a_setting_that_diverges_fails_its_trial_alone(tiny: Tiny, kitchen: Oven) -> None:
    found = tune(str(tiny.path), trials=4, space={"tuned": {"training.lr": [0.1, 1e30]}})
    failed = [trial["failed"] for trial in found["strategies"][0]["trials"] if trial["failed"]]
    assert failed and "diverged" in failed[0] and "failed:" in Path(found["report"]).read_text()


def test_a_choice_that_the_check_does_not_confirm_is_not_used(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightloop.flows.search_rounds.SearchRun, "mean", lambda self, outcome: 0.5)
    found = tune(str(tiny.path), trials=8, space={"tuned": SPACE["tuned"]})
    (one,) = found["strategies"]
    assert not one["chosen"] and "no better on the periods of the check" in one["reason"]
    assert found["plan"] is None and not tiny.path.with_suffix(".tuned.yaml").exists()


def test_without_nights_the_pipeline_keeps_its_name_and_an_earlier_root_is_used(
    tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = make(tmp_path, monkeypatch, {"pretrain_periods": 6})
    fresh.deliver(*range(8))
    found = tune(str(fresh.path), trials=8, space={"tuned": SPACE["tuned"]}, end=fresh.name(5))
    assert (found["pretrain_periods"], found["search"]) == (2, [fresh.name(day) for day in (2, 3, 4)])
    assert found["check"] == [fresh.name(5)]
    if found["plan"]:
        new = read_plan(Path(found["plan"]))
        assert (new.pipeline, new.pretrain_periods) == ("tiny", 6)


def test_the_demo_begins_with_settings_for_the_file(
    tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search reads the periods of the pre-training alone; the demo's plan takes the choice over, and stays the demo's."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tuned, "TRIALS", 4)
    random = np.random.default_rng(0)
    rows = [f"u{random.integers(40)},i{random.integers(30) ** 2 // 30},{1_767_225_600 + 60 * n}" for n in range(2000)]
    (data := tmp_path / "r.csv").write_text("user,item,time\n" + "\n".join(rows) + "\n")
    plan = plans.write_plan({**plans.own_plan(data, "", {}), "ranking": {"negatives": 20}})
    before = read_plan(plan)
    told = tuned.tune_own_plan(plan)
    assert {job.periods for job in kitchen.jobs if "trial" in job.title} == {(2, 3, 4)}
    assert any("settings tried" in line for line in told) and not any("backfill" in line for line in told)
    assert is_generated(plan, plans.HEAD) and not (plan.parent / "own.tuned.yaml").exists()
    changed = read_plan(plan) != before
    assert changed == ("# fine-tune has now" in plan.read_text()) == any("Tuning improves" in line for line in told)
    if changed:
        assert (
            read_plan(plan).strategies["averaged"].options["learner"]
            == read_plan(plan).strategies["fine-tune"].model_dump()
        )
    assert plans.write_plan({**plans.own_plan(data, "", {})}) == plan, "a later demo may replace it"


def test_the_demo_goes_on_if_there_is_no_time_to_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*given: object, **named: object) -> None:
        raise PlanError("budget: 1 minutes were over")

    monkeypatch.setattr(tuned, "tune", too_late)
    assert tuned.tune_own_plan(tmp_path) == [
        "the usual settings stay, because nothing could be tuned: budget: 1 minutes were over"
    ]


def test_a_budget_that_is_over_before_the_first_trial_says_what_is_needed(tiny: Tiny, kitchen: Oven) -> None:
    with pytest.raises(PlanError, match=r"budget: 1e-06 minutes were over .* over 4 periods took .*Give at least"):
        tune(str(tiny.path), budget=1e-6, space=SPACE)


def test_when_the_budget_ends_what_was_finished_counts(
    tiny: Tiny, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(nightloop.flows.search_rounds.time, "monotonic", lambda: clock[0])

    def slow(job: Job) -> None:
        clock[0] += 25 if "trial" in job.title else 0
        kitchen.work(job)

    compute_by(monkeypatch, slow)
    found = tune(str(tiny.path), budget=1, trials=8, space={"tuned": SPACE["tuned"]})
    assert len(found["strategies"][0]["trials"]) == 3, "at 0, 25 and 50 seconds; the fourth of the round did not start"


def test_settings_of_the_plan_that_fail_are_said(tiny: Tiny, kitchen: Oven) -> None:
    diverges = {"use": "FineTune", "options": {"training": {"lr": 1e30}}}
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"strategies": {"wild": diverges}})))
    with pytest.raises(ConflictError, match=r"wild fails with the plan's own settings.*diverged.*--strategies"):
        tune(str(tiny.path), trials=2, end=tiny.name(5))


def test_each_trial_of_the_pretraining_begins_with_its_own_weights(tiny: Tiny, kitchen: Oven) -> None:
    found = tune(str(tiny.path), trials=8, space={"pretrain": {"training.epochs": [1, 3, 9, 20]}})
    (one,) = found["strategies"]
    assert one["strategy"] == "tuned", "the first that trains judges it"
    values = {trial["settings"]["pretrain.training.epochs"]: trial["running"][tiny.name(2)] for trial in one["trials"]}
    assert len(values) == len(set(values.values())) >= 2
    shared = {job.start for job in kitchen.jobs if job.do == "start"}
    assert len(shared) <= 2, "of the plan, and of the choice"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--budget", "0"), "budget: given 0 minutes; give more than 0"),
        (("--budget", "nan", "--trials", "0", "--workers", "0", "--strategies", "nobody"), "trials: given 0"),
        (("--end", "2026-01-02"), "tuning needs at least 4 periods"),
        (("--end", "2027-01-02"), "is not over yet"),
        (("--pretrain-periods", "9"), "pretrain_periods: given 9; of 6 periods 1 to 3"),
        (("--space", "nothing.yaml"), "no file 'nothing.yaml'"),
        (("--out", "/etc/passwd"), "out: given '/etc/passwd'; the new plan is a file that ends in .yaml"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(
    tiny: Tiny, kitchen: Oven, words: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told = refused(monkeypatch, capsys, "tune", str(tiny.path), *words)
    assert expected in " ".join(told.split())
    assert not kitchen.jobs
