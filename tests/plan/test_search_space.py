"""Search spaces: what may stand in one, and what every installed plug-in declares."""

from __future__ import annotations

import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import installed
from nightloop.tasks.plan.search_space import NumberRange, parse_range, range_in_words
from nightloop.tasks.plugins.options import declared_space, option_mistake


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 0.01, "high": 0.3, "log": True}, "0.01 to 0.3, by ratio"),
        ({"low": 5, "high": 40}, "5 to 40"),
        ([256, 1024, None], "256, 1024, none"),
    ],
)
def test_a_range_is_two_ends_or_a_list(given: object, words: str) -> None:
    assert range_in_words(parse_range(given)) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 3, "high": 3}, "low below high"),
        ({"low": "a", "high": 3}, "low and high are numbers"),
        ({"low": 0, "high": 3, "log": True}, "low must then be above 0"),
        ({"low": 1, "high": 2, "logg": True}, "logg: give low, high"),
        ({"low": 1}, "high: give low, high"),
        ([1], "given 1 values; give 2 to 50"),
        (0.1, "give a list of values, or low: and high:"),
        ({"low": True, "high": 3}, "low and high are numbers"),
    ],
)
def test_what_is_no_range_is_refused(given: object, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse_range(given)


def test_whole_ends_mean_whole_numbers() -> None:
    assert 7 in NumberRange(5, 40) and 7.5 not in NumberRange(5, 40) and 41 not in NumberRange(5, 40)
    assert 0.2 in NumberRange(0.1, 1) and True not in NumberRange(0.1, 1)


@pytest.mark.parametrize("kind", ["strategy", "model"])
def test_plug_ins_declare_only_options_that_they_have(kind: str) -> None:
    of_kind = "strategy" if kind == "strategy" else "model"
    declared = {name: declared_space(of_kind, name) for name in installed(of_kind)}
    wrong = [option_mistake(of_kind, name, option) for name, space in declared.items() for option in space]
    assert not [mistake for mistake in wrong if mistake]
    assert sum(bool(space) for space in declared.values()) >= 10
