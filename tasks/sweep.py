"""Sweep: what the store and the lake hold and nobody needs; the chain and the promotion log decide who needs what."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.lake.upkeep import compact as compact_lake
from tasks.open import open_lake, open_store
from tasks.plan.plan import Plan
from tasks.store.sweep import sweep as sweep_store
from tasks.store.sweep import unneeded


@task(task_run_name="compact {plan.pipeline}", cache_policy=NO_CACHE)
def compact(plan: Plan, dry_run: bool) -> list[str]:
    """Merge small files of the lake; rows of every version that a manifest read stay."""
    if dry_run:
        return ["the lake would be compacted"]
    with open_lake(plan) as warehouse:
        return compact_lake(warehouse)


@task(task_run_name="sweep {plan.pipeline}", cache_policy=NO_CACHE)
def sweep(plan: Plan, holder: str, now: float, dry_run: bool) -> list[str]:
    """Remove blobs and half-done work that no manifest and no log entry names."""
    objects = open_store()
    if dry_run:
        keys = unneeded(objects)
        return [f"{len(keys)} objects would be removed from the store", *keys[:50]]
    swept = sweep_store(objects, holder, now)
    return [f"nothing removed: {swept.busy}"] if swept.busy else [f"{len(swept.removed)} objects removed from the store"]
