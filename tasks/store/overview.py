"""Overview: the state of every period, from the store's record and the lake's newest versions."""

from __future__ import annotations

from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Plan
from tasks.store import manifests
from tasks.store.due import root
from tasks.store.manifest import Manifest
from tasks.store.objects import Objects
from tasks.store.states import State, states


def overview(
    objects: Objects, warehouse: Warehouse, plan: Plan, last: int
) -> tuple[dict[int, Manifest], dict[int, State]]:
    """The current manifests, and the state of every period, from the root to `last`."""
    chain, broken = manifests.survey(objects, plan.pipeline, root(plan), last)
    return chain, states(chain, warehouse.latest(), plan, last, broken)
