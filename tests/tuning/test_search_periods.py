"""Periods of a search: the check comes after the search, and too few are refused with what is needed."""

from __future__ import annotations

import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.tuning.search_periods import LEAST, last_searched, search_periods
from tests.plan.test_plans import raw


def plan(pretrain: int) -> Plan:
    return Plan.model_validate({**raw(), "pretrain_periods": pretrain})


@pytest.mark.parametrize(
    ("pretrain", "last", "given", "expected"),
    [
        (6, 17, 0, (6, 9, 3)),  # the plan's root, nine periods searched, three checked
        (6, 5, 0, (2, 3, 1)),  # nothing after the root: the first third
        (6, 7, 0, (2, 5, 1)),  # too little after the root
        (1, 3, 0, (1, 2, 1)),  # the fewest
        (6, 17, 10, (10, 6, 2)),  # given
    ],
)
def test_the_search_never_sees_the_check(pretrain: int, last: int, given: int, expected: tuple[int, ...]) -> None:
    found = search_periods(plan(pretrain), last, given)
    assert (found.pretrain, len(found.search), len(found.check)) == expected
    assert [*range(found.pretrain), *found.search, *found.check] == list(range(last + 1))


@pytest.mark.parametrize(("last", "there"), [(-1, "there are 0"), (2, "there are 3 up to 2026-01-03")])
def test_too_few_periods_are_refused_with_how_many_are_needed(last: int, there: str) -> None:
    with pytest.raises(PlanError, match=f"at least {LEAST} periods.*{there}"):
        search_periods(plan(1), last)


@pytest.mark.parametrize("given", [-1, 16, 100])
def test_a_root_that_leaves_nothing_to_search_on_is_refused(given: int) -> None:
    with pytest.raises(PlanError, match="of 18 periods 1 to 15 can be pre-trained on"):
        search_periods(plan(6), 17, given)


def test_a_long_history_is_not_replayed_to_its_end() -> None:
    assert [last_searched(plan(6), newest) for newest in (9, 400)] == [9, 21]
