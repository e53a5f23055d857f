"""Validate: check a landed period against the plan's expectations, and open the night or stop it."""

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
