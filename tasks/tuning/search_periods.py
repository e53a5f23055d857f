"""Periods of a search: those that trials pre-train on, those that they are judged on, and later ones that check the choice."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.lake.periods import period
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan

LEAST_SEARCHED, LEAST_CHECKED = 2, 1
LEAST = 1 + LEAST_SEARCHED + LEAST_CHECKED  # periods that tuning needs
MOST = 16  # periods after the root that are replayed, if no end is given: a longer replay leaves time for fewer trials


@dataclass(frozen=True)
class SearchPeriods:
    """Indexes of periods, in order. The search never sees the rows of `check`."""

    pretrain: int  # number of periods that trials pre-train on
    search: tuple[int, ...]
    check: tuple[int, ...]

    @property
    def last(self) -> int:
        """The newest period that is read."""
        return self.check[-1]


def last_searched(plan: Plan, newest: int) -> int:
    """The last period of a search that names none: the newest one, or an earlier one after `MOST` periods."""
    return min(newest, plan.pretrain_periods - 1 + MOST)


def search_periods(plan: Plan, last: int, pretrain: int = 0) -> SearchPeriods:
    """The periods up to `last`, of which a quarter after the pre-training checks the choice.

    Trials pre-train on as many periods as the plan's root if enough follow it, else on the first third, so that there are
    updates to judge; `pretrain`: on so many. Raises PlanError if there are too few periods.
    """
    count, least = last + 1, LEAST_SEARCHED + LEAST_CHECKED
    if count < LEAST:
        upto = f" up to {period(plan.periods, last).name}" if last >= 0 else ""
        raise PlanError(
            f"tuning needs at least {LEAST} periods: 1 to pre-train on, {LEAST_SEARCHED} to search on and {LEAST_CHECKED} to check "
            f"the choice on; there are {max(count, 0)}{upto}. Give a later end, or collect more periods first"
        )
    if pretrain and not 1 <= pretrain <= count - least:
        raise PlanError(
            f"pretrain_periods: given {pretrain}; of {count} periods 1 to {count - least} can be pre-trained on, since "
            f"{LEAST_SEARCHED} must be left to search on and {LEAST_CHECKED} to check the choice on"
        )
    enough = count - plan.pretrain_periods >= least
    begin = pretrain or (plan.pretrain_periods if enough else min(max(count // 3, 1), count - least))
    checked = max((count - begin) // 4, LEAST_CHECKED)
    return SearchPeriods(begin, tuple(range(begin, count - checked)), tuple(range(count - checked, count)))
