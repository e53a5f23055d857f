"""Maintain: remove from the store and the lake what neither the chain of nights nor the promotion log needs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from nightloop.tasks.data.clean_rows import other_rows
from nightloop.tasks.lake.catalog_marks import removal_obstacle
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.versions import absent_versions, compact_lake, expire_versions, idle_versions
from nightloop.tasks.objects import pipelines, trash
from nightloop.tasks.objects.trash import RemovalRequest
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import actor, open_lake, open_store
from nightloop.tasks.retention.garbage import collect_garbage as sweep_store
from nightloop.tasks.retention.garbage import expired_versions, restore_objects, unneeded_keys
from nightloop.tasks.retention.needed_blobs import reads_of

UNDER_WAY = timedelta(days=1)  # younger files of the lake may belong to a writer that still works
SHOWN = 50  # keys of a long list that are printed


@task("compact {plan.pipeline}")
def compact(plan: Plan, act: RemovalRequest, grace: timedelta, dry_run: bool) -> list[str]:
    """Delete versions that no night read once their grace period is over, and merge small files."""
    objects = open_store()
    keep, read = reads_of(objects, plan.pipeline)
    if not keep:
        return [
            f"the lake was not changed: this store has no night of {plan.pipeline}, so it is not known what nights read"
        ]
    with open_lake(plan) as warehouse:
        # Versions that only superseded nights read may be lost with an older catalog: no night needs them.
        needed: dict[int, set[int]] = {}
        for logs in read:
            needed.setdefault(logs.period, set()).add(logs.version)
        if absent := absent_versions(warehouse, needed or keep):
            index, version = absent[0]
            raise DataError(
                f"the lake was not changed: its catalog does not have {len(absent)} versions that nights read, the first is "
                f"version {version} of {period(plan.periods, index).name}. Is it another catalog, or a new one? Restore the catalog first"
            )
        if other := other_rows(warehouse, read):
            index, version = min(other)
            name = period(plan.periods, index).name
            raise DataError(
                f"the lake was not changed: version {version} of {name} (and {len(other) - 1} more) has other rows than the night that "
                "read it: its catalog is another one, or was made again. Restore the catalog, or run these nights again from this one: "
                f"nightloop backfill {as_given(plan.pipeline)} --start {name} --what all"
            )
        idle = idle_versions(warehouse, keep)
        waiting, over = expired_versions(objects, plan.pipeline, idle, act, grace.total_seconds())
        if dry_run:
            return [
                f"the lake would be compacted; {len(idle)} versions were read by no night: {len(over)} would be deleted "
                f"now, the others {grace.days} days after they were first seen"
            ]
        gone = expire_versions(warehouse, keep, over)
        before = datetime.fromtimestamp(act.when, UTC) - max(grace, UNDER_WAY)
        if not (obstacle := removal_obstacle(warehouse, Settings(), plan.pipeline, before)):
            compact_lake(warehouse, before)
    trash.settle_versions(objects, plan.pipeline, waiting, gone, act)
    if obstacle:
        return [
            f"{len(gone)} versions that no night read were deleted, {len(waiting)} wait; no file of the lake was removed or "
            f"merged: {obstacle}"
        ]
    return [f"the lake was compacted; {len(gone)} versions that no night read were deleted, {len(waiting)} wait"]


@task("sweep {plan.pipeline}")
def sweep(plan: Plan, act: RemovalRequest, grace: timedelta, dry_run: bool) -> list[str]:
    """Move blobs that no record names into the trash, and delete what was there for the grace period."""
    objects = open_store()
    if dry_run:
        keys = unneeded_keys(objects)
        in_trash = [
            f"in the trash since {removal.date}: {len(removal.keys)} objects (removal {removal.number})"
            for removal in trash.open_removals(objects) if removal.keys
        ]  # fmt: skip
        return [f"{len(keys)} objects of the store would be moved to the trash", *keys[:SHOWN], *in_trash]
    swept = sweep_store(objects, act.by, act.when, Settings().lease_seconds, grace=grace.total_seconds())
    if swept.busy:
        return [f"nothing removed: {swept.busy}"]
    lines = [f"{len(swept.removed)} objects of the store were moved to the trash, {len(swept.deleted)} deleted from it"]
    if swept.removed:
        lines.append(
            f"they are deleted after {grace.days} days; nightloop maintain {as_given(plan.pipeline)} --restore all brings them back"
        )
    if swept.unseen:
        others = f" (and {len(swept.unseen) - 1} more)" if len(swept.unseen) > 1 else ""
        lines.append(
            f"nothing is deleted from the trash: {swept.unseen[0]}{others} cannot be read, so what it "
            "needs is not known. Restore it from your backup; if it is lost for ever, write the words `given up` into it"
        )
    return [*lines, *(f"brought back, because something needs it: {key}" for key in swept.restored[:SHOWN])]


@task("restore from the trash")
def restore_trash(number: str, act: RemovalRequest) -> list[str]:
    """Bring back what is in the trash: all of it, or what one removal put there."""
    text = number.strip().lower()
    if text != "all" and not re.fullmatch("[0-9]{1,8}", text):
        raise PlanError(f"restore: given {number[:40]!r}; give all, or the number of a removal, such as 3")
    restored = restore_objects(open_store(), None if text == "all" else int(text), act)
    return [f"{len(restored)} objects were brought back from the trash", *restored[:SHOWN]]


@task("adopt pipelines")
def adopt(plan: Plan, confirm: str) -> list[str]:
    """List the pipelines that the store shows; with their names in `confirm`, record that these are all."""
    objects = open_store()
    if confirm.strip():
        roots_by_name = pipelines.adopt_pipelines(objects, confirm.split(","))
        return [f"the record of pipelines is complete: {', '.join(roots_by_name) or 'none'} (by {actor()})"]
    listed, record = pipelines.listed_pipelines(objects.keys("pipelines/")), pipelines.readable_record(objects)
    lines = [f"{name}: nights from {', '.join(map(str, roots)) or 'none'} on" for name, roots in sorted(listed.items())]
    lines += [f"{name}: in the record, but the store does not show it" for name in record.roots if name not in listed]
    names = ",".join(sorted({*listed, *record.roots}))
    return [
        *(lines or ["the store shows no pipeline"]),
        "If these are all the pipelines of the store, and you know of no other, confirm with the command below. Put a minus",
        "before the name of a pipeline that was given up: -shop. What it needed may then be removed.",
        f"  nightloop maintain {as_given(plan.pipeline)} --adopt --confirm {names}",
    ]
