"""Options of a part: the values it has without naming them, and others put in."""

from __future__ import annotations

from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plugins.options import option_mistake, option_value, with_options
from nightloop.tasks.strategies import build


def test_an_option_that_is_put_in_leaves_the_others_as_they_are() -> None:
    """The training of a plan that names none is the strategy's own, not that of TrainConfig."""
    before, after = Part(use="FineTune"), with_options("strategy", Part(use="FineTune"), {"training.lr": 0.02})
    old, new = (vars(build(part))["training"] for part in (before, after))
    assert new.lr == 0.02 and (new.epochs, new.l2, new.batch_size) == (old.epochs, old.l2, old.batch_size) == (
        10,
        0.03,
        1024,
    )


def test_values_are_those_of_the_plan_or_the_defaults() -> None:
    given = Part(use="FineTune", options={"training": {"epochs": 3}})
    assert option_value("strategy", given, "training.epochs") == 3
    assert option_value("strategy", given, "training.lr") == 0.05, "of TrainConfig, since the plan names a training"
    assert option_value("strategy", Part(use="FineTune"), "training.lr") == 0.1
    assert option_value("model", Part(use="MF"), "width") == 64
    assert option_value("strategy", Part(use="FullRetrain"), "window") is None


def test_a_name_that_is_no_option_is_answered_with_the_one_that_was_meant() -> None:
    assert option_mistake("strategy", "FineTune", "training.l2") == ""
    assert "training.lr" in option_mistake("strategy", "FineTune", "training.lrr")
    assert "MF has no option 'fields'" in option_mistake("model", "MF", "fields")
