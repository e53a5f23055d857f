"""Validate: check a landed period against the plan's expectations, and open the night or stop it.

In this order, in `record/open_night.py`:

1. The manifest of the night before is read. A plan from which its checkpoints could not have come is refused.
2. Rows that break a rule go to quarantine, and the period's statistics are compared with those of passed nights
   (`validation/gx.py`). A verdict `blocked` becomes `overridden` if an operator accepted the period.
3. A night that is finished is returned as it was recorded. A period that was skipped or blocked is recorded as such, and
   no strategy trains on it. Otherwise the vocabulary grows by the new ids, and the night begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import period
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.open_night import open_night
from nightloop.tasks.resources import open_lake, open_store


@task(lambda given: f"validate {period(given['plan'].periods, given['landed'][-1].period).name}")
def validate(plan: Plan, landed: Sequence[Landing], retry_failed: bool = False) -> Night | Manifest:
    """The night to run, or the manifest of a night that is finished, stopped or skipped."""
    with open_lake(plan) as warehouse:
        return open_night(open_store(), warehouse, plan, landed, retry_failed)
