"""Sweep: what the store and the lake hold and nobody needs; the chain and the promotion log decide who needs what."""

from __future__ import annotations

from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.lake.keeping import compact as compact_lake
from tasks.lake.keeping import expire
from tasks.open import open_lake, open_store
from tasks.plan.outward import guarded
from tasks.plan.plan import Plan
from tasks.store.needed import versions_read
from tasks.store.sweep import sweep as sweep_store
from tasks.store.sweep import unneeded


@task(task_run_name="compact {plan.pipeline}", cache_policy=NO_CACHE)
@guarded()
def compact(plan: Plan, before: datetime, dry_run: bool) -> list[str]:
    """Give up versions that no manifest read, and merge small files; files newer than `before` may be under way."""
    keep = versions_read(open_store(), plan.pipeline)
    with open_lake(plan) as warehouse:
        if dry_run:
            idle = sorted(set(warehouse.latest().items()) - {(p, v) for p, versions in keep.items() for v in versions})
            return [f"the lake would be compacted; {len(idle)} newest versions wait for their night and stay"]
        gone = expire(warehouse, keep)
        compact_lake(warehouse, before)
    return [f"the lake was compacted; {len(gone)} versions that no night read were given up"]


@task(task_run_name="sweep {plan.pipeline}", cache_policy=NO_CACHE)
@guarded()
def sweep(plan: Plan, holder: str, now: float, dry_run: bool) -> list[str]:
    """Remove blobs and half-done work that no manifest and no log entry names."""
    objects = open_store()
    if dry_run:
        keys = unneeded(objects)
        return [f"{len(keys)} objects would be removed from the store", *keys[:50]]
    swept = sweep_store(objects, holder, now)
    return (
        [f"nothing removed: {swept.busy}"] if swept.busy else [f"{len(swept.removed)} objects removed from the store"]
    )
