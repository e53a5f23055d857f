"""Overview: the state of every period, from the store's record and the lake's newest versions."""

from __future__ import annotations

from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Plan
from tasks.store import manifests
from tasks.store.due import root
from tasks.store.objects import Objects
from tasks.store.states import State, states


def overview(objects: Objects, warehouse: Warehouse, plan: Plan, last: int) -> dict[int, State]:
    """The state of every period from the root to `last`."""
    broken = manifests.damaged(objects, plan.pipeline, root(plan), last)
    chain = {} if broken else manifests.chain(objects, plan.pipeline, root(plan), last)
    for index in range(root(plan), last + 1) if broken else ():
        found = None if index in broken else manifests.current(objects, plan.pipeline, index)
        chain |= {index: found} if found else {}
    return states(chain, warehouse.latest(), plan, last, broken)
