"""Spaces of a plan: what is searched with what, and every mistake in a given space."""

from __future__ import annotations

from typing import Any

import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.search_space import NumberRange
from nightloop.tasks.tuning.spaces import apply_settings, current_settings, searched_strategies
from tests.plan.test_plans import raw

FAST = {"use": "FineTune", "options": {"training": {"epochs": 2}}}


def plan(**strategies: Any) -> Plan:
    parts = strategies or {"still": {"use": "NoUpdate"}, "popular": {"use": "Popularity"}, "fast": FAST}
    model = {"use": "MF", "options": {"width": 4, "biases": True}}
    return Plan.model_validate({**raw(), "model": model, "strategies": parts})


def test_the_model_and_the_pretraining_are_searched_with_the_first_strategy_that_trains() -> None:
    fast, popular = searched_strategies(plan(), (), None)
    assert (fast.label, popular.label) == ("fast", "popular") and fast.shares and not popular.shares
    assert {"model.width", "pretrain.training.l2", "strategy.training.l2", "strategy.optimizer"} <= set(fast.space)
    assert not any("dense_lr" in place or place == "pretrain.window" for place in fast.space), "MF is tables alone"
    assert set(popular.space) == {"strategy.half_life"}


def test_a_strategy_of_others_that_declares_nothing_is_left_alone() -> None:
    assert [one.label for one in searched_strategies(plan(), ("popular",), None)] == ["popular"]


def test_settings_are_read_from_the_plan_and_put_into_it() -> None:
    fast = searched_strategies(plan(), ("fast",), None)[0]
    own = current_settings(plan(), fast)
    assert own["strategy.training.epochs"] == 2 and own["model.width"] == 4 and own["pretrain.training.epochs"] == 10
    changed = apply_settings(plan(), "fast", {"model.width": 8, "strategy.training.l2": 0.5})
    assert changed.model.options == {"width": 8, "biases": True}
    assert changed.strategies["fast"].options["training"] == {"epochs": 2, "l2": 0.5}
    assert changed.strategies["popular"] == plan().strategies["popular"] and changed.pretrain == plan().pretrain


def test_a_given_space_replaces_what_is_declared() -> None:
    given = {"fast": {"training.lr": {"low": 0.01, "high": 0.1, "log": True}, "training.epochs": [1, 2]}}
    (fast,) = searched_strategies(plan(), (), given)
    assert fast.space == {
        "strategy.training.lr": NumberRange(0.01, 0.1, log=True), "strategy.training.epochs": (1, 2),
    }  # fmt: skip
    (shared,) = searched_strategies(plan(), (), {"model": {"width": [2, 8]}})
    assert shared.label == "fast" and set(shared.space) == {"model.width"}


def part(use: str, **options: Any) -> dict[str, Any]:
    return {"use": use, "options": options}


@pytest.mark.parametrize(
    ("strategy", "searched"),
    [
        (part("IALS"), {"regularization", "unobserved_weight", "half_life"}),
        (part("AddPopularity", learner=FAST), {"half_life"}),
        (part("AverageWeights", learner=FAST), {"method"}),
        (part("Hedge", candidates=[FAST, {"use": "Popularity"}]), {"eta", "forget"}),
        (part("Blend", members=[FAST, {"use": "Popularity"}]), {"shrinkage"}),
        (part("ASMG", learner=FAST), {"window", "hidden", "min_steps"}),
        (part("ASMG", learner=FAST, variant="full", residual=True), {"window", "hidden", "min_steps"}),
        (part("ASMG", learner=FAST, variant="Linear"), {"window", "hidden", "min_steps"}),
        (
            part("SML", freeze=3),
            {"rounds", "learner_training.lr", "transfer_training.lr", "min_steps", "mask_inactive"},
        ),
    ],
)
def test_wrappers_declare_what_is_worth_tuning_and_every_value_is_legal(strategy: Any, searched: set[str]) -> None:
    """The shared settings stay with the learner that trains, wherever it stands in the plan."""
    first, second = searched_strategies(plan(other=strategy, fast=FAST), (), None)
    assert (first.label, second.label) == ("fast", "other") and first.shares and not second.shares
    assert {place.removeprefix("strategy.") for place in second.space} == searched


def test_the_weight_of_a_teacher_is_searched() -> None:
    columns = {"user": "u", "item": "i", "time": "t", "label": "y"}
    given = {**raw(), "columns": columns, "model": {"use": "LR"}, "gate": {}}
    clicks = Plan.model_validate({**given, "strategies": {"inc": part("IncCTR", learner=FAST)}})
    assert [set(one.space) for one in searched_strategies(clicks, ("inc",), None)] == [{"strategy.weight"}]
    assert apply_settings(clicks, "inc", {"strategy.weight": None}).strategies["inc"].options["weight"] is None


@pytest.mark.parametrize(
    ("labels", "given", "words"),
    [
        (("nobody",), None, "strategies: 'nobody' is not in the plan; it has still, popular, fast"),
        ((), {}, "space: it is empty; name options with their values"),
        ((), {"fast": {}}, "space: it is empty"),
        ((), {"fats": {"training.lr": [1, 2]}}, "space: 'fats' is not known; allowed are model, pretrain, still"),
        ((), {"fast": {"training.rate": [1, 2]}}, "FineTune has no option 'training.rate'.*it has training"),
        ((), {"fast": {"training.lr": []}}, "space.fast.training.lr: given 0 values"),
        ((), {"fast": 3}, "space.fast: given 3; it is a mapping of options to values"),
        ((), {"fast": {"training.lr": [0.1, -1]}}, "fast.training.lr -1: .*numbers above 0"),
        ((), {"model": {"width": {"low": 4, "high": 1_000_000}}}, "model.width 1000000: .*width"),
    ],
)
def test_every_mistake_is_a_sentence(labels: tuple[str, ...], given: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        searched_strategies(plan(), labels, given)


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(PlanError) as refused:
        searched_strategies(
            plan(), (), {"nobody": {"a": [1, 2]}, "fast": {"training.lrr": [1, 2], "optimizer": "keep"}}
        )
    assert all(word in str(refused.value) for word in ("nobody", "training.lrr", "space.fast.optimizer"))


def test_a_plan_without_anything_to_tune_says_which_strategies_have_it() -> None:
    lr = {"use": "LR"}
    raw_clicks = {**raw(), "columns": {"user": "u", "item": "i", "time": "t", "label": "y"}, "model": lr}
    still = Plan.model_validate(
        {**raw_clicks, "strategies": {"still": {"use": "NoUpdate"}}, "pretrain": {"use": "NoUpdate"}}
    )
    with pytest.raises(
        PlanError, match=r"nothing to tune: NoUpdate and the model LR declare no search space.*FineTune"
    ):
        searched_strategies(still, (), None)
