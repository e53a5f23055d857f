"""Due: which nights a run must process, the missed ones before it included."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from nightloop.tasks.lake.periods import period
from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.copies import with_copies
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store

BLOCK = 64  # nights that are read at once


def root_period(plan: Plan) -> int:
    """Index of the root night: the last period of the history that pre-training reads."""
    return plan.pretrain_periods - 1


def due_nights(objects: Objects, plan: Plan, target: int, catch_up: int) -> list[int]:
    """Indexes of the nights to run, in order, up to `target`.

    The chain ends at its first night that is missing or blocked; all nights from there on are due. Raises PlanError if
    that is more than `catch_up` nights before the target, or if the target is before the root.
    """
    first = root_period(plan)
    if target < first:
        raise PlanError(
            f"period {period(plan.periods, target).name} is before the first night, {period(plan.periods, first).name}, which "
            f"pre-trains on the {plan.pretrain_periods} periods up to it (pretrain_periods): give that one or a later one"
        )
    start = next(_unfinished_nights(objects, plan, target), target)
    if target - start > catch_up:
        raise PlanError(
            f"{target - start} nights before this one are missing, more than catch_up = {catch_up}; "
            f"run `nightloop backfill {as_given(plan.pipeline)}` first, or raise --catch-up"
        )
    return list(range(start, target + 1))


def _unfinished_nights(objects: Objects, plan: Plan, target: int) -> Iterator[int]:
    """Nights that are missing or blocked, in order. Manifests are read in blocks, and only as far as the caller asks."""
    seen = with_copies(objects, plan.pipeline)
    for begin in range(root_period(plan), target + 1, BLOCK):
        block = range(begin, min(begin + BLOCK, target + 1))
        chain = manifest_store.read_chain(seen, plan.pipeline, block[0], block[-1])
        yield from (index for index in block if index not in chain or chain[index].outcome == "blocked")


def following_period(objects: Objects, plan: Plan) -> int:
    """The first period after the chain's last night: the one that is due if periods are counted, not dated."""
    return next(_unfinished_nights(objects, plan, newest_recorded(objects, plan) + 1))


def newest_recorded(objects: Objects, plan: Plan) -> int:
    """Index of the last night that has a manifest, damaged or not; below the root if there is none."""
    return manifest_store.newest_index(objects, plan.pipeline, root_period(plan))


def newest_plan(objects: Objects, pipeline: str) -> dict[str, JsonValue] | None:
    """The plan of the pipeline's newest valid night, as its manifest holds it; None if it has no night."""
    roots = pipelines.first_nights(objects, pipeline) or ()
    index = manifest_store.newest_index(objects, pipeline, max(roots)) if roots else -1
    night = manifest_store.verified_manifest(objects, pipeline, index) if index >= 0 else None
    return night.plan if night else None
