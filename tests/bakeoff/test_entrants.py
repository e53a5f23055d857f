"""Entrants: which strategies race with which models, and what is said of those that do not go together."""

from __future__ import annotations

import pytest

from nightloop.tasks.bakeoff.entrants import resolve_field
from nightloop.tasks.bakeoff.spec import BakeoffSpec
from nightloop.tasks.plan.plan import Plan
from tests.plan.test_plans import raw

LOVED = {"use": "AddPopularity", "options": {"learner": {"use": "FineTune"}}}
KD = {"use": "KD", "options": {"learner": {"use": "FineTune"}}}
BIASED = {"use": "MF", "options": {"width": 4, "biases": True}}


def plan() -> Plan:
    return Plan.model_validate(raw())


def order(**given: object) -> BakeoffSpec:
    return BakeoffSpec.model_validate(given)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"use": "Popularity"}, "odd · LightGCN: strategies.odd: Popularity works with MF, not with LightGCN"),
        (LOVED, "odd · LightGCN: strategies.odd: AddPopularity works with MF, not with LightGCN"),
        (
            {"use": "Hedge", "options": {"candidates": [{"use": "FineTune"}, {"use": "ALS"}]}},
            "odd · LightGCN: strategies.odd: Hedge works with MF, not with LightGCN",
        ),
    ],
)
def test_a_strategy_is_left_out_with_the_models_it_does_not_work_with(strategy: object, said: str) -> None:
    wrong: list[str] = []
    models = {"LightGCN": None, "biased": BIASED}
    found = resolve_field(plan(), order(strategies={"tuned": None, "odd": strategy}, models=models), wrong)
    assert found is not None and not wrong
    assert [one.name for one in found.entrants] == ["tuned · LightGCN", "tuned · biased", "odd · biased"]
    assert found.left_out == (said,)


def test_a_strategy_is_left_out_with_a_model_whose_option_it_needs_is_off() -> None:
    wrong: list[str] = []
    models = {"plain": {"use": "MF", "options": {"width": 4}}, "biased": BIASED}
    found = resolve_field(plan(), order(strategies={"loved": LOVED}, models=models), wrong)
    assert found is not None and [one.name for one in found.entrants] == ["loved · biased"]
    assert found.left_out == ("loved · plain: strategies.loved: AddPopularity needs the model's option biases: true",)


@pytest.mark.parametrize("strategy", [LOVED, {"use": "Popularity"}])
def test_with_a_single_model_it_is_a_mistake(strategy: object) -> None:
    wrong: list[str] = []
    assert resolve_field(plan(), order(strategies={"tuned": None, "odd": strategy}, models=["LightGCN"]), wrong) is None
    assert (
        len(wrong) == 1
        and wrong[0].startswith("odd: strategies.odd: ")
        and "works with MF, not with LightGCN" in wrong[0]
    )


def test_strategies_for_other_logs_are_a_mistake_whatever_the_models() -> None:
    wrong: list[str] = []
    models = {"LightGCN": None, "biased": BIASED}
    assert resolve_field(plan(), order(strategies={"taught": KD, "tuned": None}, models=models), wrong) is None
    assert len(wrong) == 2 and all("KD is for ctr logs" in mistake for mistake in wrong)


def test_more_combinations_than_anybody_waits_for_are_refused_before_they_are_made() -> None:
    grid = {f"option{n}": list(range(10)) for n in range(8)}
    wrong: list[str] = []
    assert resolve_field(plan(), order(strategies={"tuned": None}, tune={"tuned": grid}), wrong) is None
    assert "tune.tuned: given 100,000,000 combinations; at most 1,000 are tried" in wrong
