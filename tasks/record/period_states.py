"""Period states: the state of every period, from the store's manifests and the lake's newest versions."""

from __future__ import annotations

from nightloop.tasks.data.clean_rows import altered_versions
from nightloop.tasks.lake.versions import all_digests
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.backfill_plan import State, night_states
from nightloop.tasks.record.due import root_period
from nightloop.tasks.record.manifest import Manifest

AHEAD = 400  # periods without a night after which the search ends: a night needs the one before it


def overview(
    objects: Objects, warehouse: Warehouse, plan: Plan, last: int
) -> tuple[dict[int, Manifest], dict[int, State]]:
    """The current manifests, and the state of every period, from the root to `last`. Periods far beyond the last night are
    not read: those that have no state are missing."""
    chain: dict[int, Manifest] = {}
    broken: dict[int, str] = {}
    read_up_to = root_period(plan) - 1
    while read_up_to < last and read_up_to < max([*chain, *broken], default=root_period(plan) - 1) + AHEAD:
        begin, read_up_to = read_up_to + 1, min(read_up_to + AHEAD, last)
        more, wrong = manifest_store.survey_chain(objects, plan.pipeline, begin, read_up_to)
        chain, broken = chain | more, broken | wrong
    landed = all_digests(warehouse)
    altered = altered_versions(warehouse, [part for manifest in chain.values() for part in manifest.logs], landed)
    return chain, night_states(chain, dict(landed.keys()), plan, read_up_to, broken, altered)
