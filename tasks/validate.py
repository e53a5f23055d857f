"""Validate: hold a landed period against the plan's expectations, and admit it to the night or stop the night."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.lake.warehouse import Landing
from tasks.open import open_lake, open_store
from tasks.orchestration import task
from tasks.plan.plan import Plan
from tasks.store.admission import admit
from tasks.store.manifest import Manifest
from tasks.store.night import Night


@task("validate {landed[0].period}")
def validate(plan: Plan, landed: Sequence[Landing], retry_failed: bool = False) -> Night | Manifest:
    """The night to run, or the manifest of a night that is finished, stopped or passed over."""
    with open_lake(plan) as warehouse:
        return admit(open_store(), warehouse, plan, landed, retry_failed)
