"""Maintain: compact the lake, and remove what neither the chain nor the promotion log needs."""

from __future__ import annotations

import logging
from datetime import timedelta

from nightloop.flows.pipeline_lock import store_clock, try_pipeline_lock
from nightloop.flows.run_names import run_name
from nightloop.tasks.maintain import adopt, compact, restore_trash, sweep
from nightloop.tasks.objects.trash import RemovalRequest
from nightloop.tasks.orchestration import flow, run
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.resources import open_store, read

log = logging.getLogger(__name__)
LONGEST = 3650  # days


@flow("maintain", run_name)
def maintain(
    plan: str = "simulated",
    dry_run: bool = False,
    grace_days: int = 7,
    restore: str = "",
    adopt_pipelines: bool = False,
    confirm: str = "",
) -> list[str]:
    """Compact the lake and sweep the store. What a manifest, the champion or the promotion log needs is never removed.

    What nothing needs is kept in the trash for `grace_days`. Then it is checked again, and deleted if nothing needs it.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        dry_run: Say what would be removed, and what is in the trash, and stop.
        grace_days: Days in the trash before something is deleted.
        restore: Bring back what is in the trash: all, or the number of a removal. Nothing else is done.
        adopt_pipelines: List the pipelines that the store shows, for a store of an older release. Nothing else is done.
        confirm: With adopt_pipelines: the names of all pipelines of the store, a,b. They are written to its record.
    """
    loaded_plan = read(plan)
    if not 0 <= grace_days <= LONGEST:
        raise PlanError(f"grace_days: given {grace_days}; it is a number of days from 0 to {LONGEST:,}")
    if confirm.strip() and not adopt_pipelines:
        raise PlanError("confirm goes with adopt_pipelines (--adopt); nothing was changed")
    if adopt_pipelines:
        return adopt(loaded_plan, confirm)
    holder, grace = run().id, timedelta(days=grace_days)
    if restore.strip():
        return restore_trash(restore, RemovalRequest(holder, store_clock(open_store())))
    lines = sweep(loaded_plan, RemovalRequest(holder, store_clock(open_store())), grace, dry_run)
    with try_pipeline_lock(loaded_plan) as busy:
        if busy:
            return [*lines, f"the lake was not changed: {busy}"]
        try:
            return [*lines, *compact(loaded_plan, RemovalRequest(holder, store_clock(open_store())), grace, dry_run)]
        except Exception:
            for line in lines:  # what the sweep did is done
                log.warning("%s", line)
            raise
