"""Garbage collection: move unneeded objects into the trash; delete them after a grace period if they are still unneeded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from nightloop.tasks.objects import blobs, lease, pipelines, trash
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.trash import Removal, RemovalOutcome, RemovalRequest
from nightloop.tasks.plan.errors import ConflictError, NotReady
from nightloop.tasks.retention.needed_blobs import mentioned_hashes, needed_names

log = logging.getLogger(__name__)
BLOB = re.compile(r"blobs/[0-9a-f]{64}")  # any other key there was not written by nightloop
GRACE = 7 * 86_400.0  # seconds in the trash
Work = Literal["kept", "dropped"]


@dataclass(frozen=True)
class GarbageReport:
    """What a sweep did, or which run prevented it (then nothing was removed)."""

    removed: tuple[str, ...] = ()  # into the trash
    deleted: tuple[str, ...] = ()  # from the trash, finally
    restored: tuple[str, ...] = ()  # from the trash, because something needs them
    busy: str = ""
    unseen: tuple[str, ...] = ()  # damaged records, because of which nothing was deleted from the trash


@dataclass
class _Need:
    """The needed blobs and the unneeded keys. `unseen`: damaged records, for which the needed blobs are not known."""

    blobs: set[str]
    unseen: tuple[str, ...]
    unneeded: tuple[str, ...] = field(default=())


def unneeded_keys(objects: Objects, work: Work = "kept") -> tuple[str, ...]:
    """Keys that nothing needs, in the order in which they may be removed: records before the blobs that they name.

    Every published manifest stays, superseded revisions too, and every blob that it names; so do log, pointer, overrides
    and leases. With `dropped`, the step cache of nights without a manifest is removed as well: such a night starts from
    its beginning. Raises DataError if it cannot be determined what is needed, see `needed_names`.
    """
    return _find_needed(objects, work).unneeded


def collect_garbage(
    objects: Objects, holder: str, now: float, seconds: float = 120, work: Work = "kept", grace: float = GRACE
) -> GarbageReport:
    """Remove what is unneeded, unless a night is running in any pipeline. No night can start meanwhile.

    A removed object stays in the trash for `grace` seconds; a run that needs it restores it. After that the needed blobs
    are determined again, and only unneeded ones are deleted. `seconds`: the length of the lease, which is renewed meanwhile.
    A night and a sweep each take their own lease first and then check the other's, so at least one sees the other.
    A run that was suspended past the end of its lease verifies its blobs before it publishes its manifest.
    """
    with _hold_sweep(objects, holder, now, seconds) as own_lease:
        if own_lease is None:
            return GarbageReport(busy=lease.lease_words(objects, lease.SWEEP, now) or "another sweep was faster")
        with lease.keep_lease(objects, own_lease, now, seconds) as alive:
            if busy := _busy_in_words(objects, holder, now):
                return GarbageReport(busy=busy)
            need = _find_needed(objects, work)
            deleted, restored = _empty_trash(objects, need, RemovalRequest(holder, now), grace, alive)
            moved = _move_all(objects, need.unneeded, RemovalRequest(holder, now), alive)
            return GarbageReport(moved, tuple(deleted), tuple(restored), unseen=need.unseen)


def restore_objects(objects: Objects, number: int | None, act: RemovalRequest) -> list[str]:
    """Restore all objects in the trash, or those of removal `number`. Returns their keys.

    Raises NotReady if there is no such removal in the trash, ConflictError while a sweep is running.
    """
    with _hold_sweep(objects, act.by, act.when, 120) as own_lease:
        if own_lease is None:
            raise ConflictError(
                f"nothing was brought back: {lease.lease_words(objects, lease.SWEEP, act.when, act.by) or 'another run was faster'}"
            )
        with lease.keep_lease(objects, own_lease, act.when, 120):
            return _restore_removals(objects, number, act)


def _hold_sweep(
    objects: Objects, holder: str, now: float, seconds: float
) -> AbstractContextManager[lease.Lease | None]:
    take = partial(lease.take_key, objects, lease.SWEEP, holder, now, seconds)
    return lease.hold_lease(objects, lease.SWEEP, holder, take)


def _restore_removals(objects: Objects, number: int | None, act: RemovalRequest) -> list[str]:
    chosen = [candidate for candidate in trash.open_removals(objects) if number in (None, candidate.number)]
    if not chosen:
        if number is None:
            raise NotReady("the trash is empty: there is nothing to bring back")
        numbers = ", ".join(str(candidate.number) for candidate in trash.open_removals(objects)) or "none"
        raise NotReady(f"no removal {number} is in the trash; there are: {numbers}")
    restored: list[str] = []
    for removal in chosen:
        keys = [key for key in removal.keys if trash.restore_object(objects, removal, key)]
        trash.close_removal(
            objects, RemovalOutcome(number=removal.number, when=act.when, by=act.by, restored=tuple(keys))
        )
        for key in keys:
            trash.delete_removal(objects, removal, key)
        restored += keys
    return restored


def _find_needed(objects: Objects, work: Work) -> _Need:
    keys = list(objects.keys(""))
    needed, unseen = needed_names(objects, keys)
    steps = mentioned_hashes(objects, (key for key in keys if re.fullmatch(r"pipelines/[^/]+/work/.+", key)))
    stored = {key.removeprefix("blobs/") for key in keys if BLOB.fullmatch(key)}
    dropped = {key for key, hashes in steps.items() if (hashes & stored) - needed} if work == "dropped" else set()
    for step, hashes in steps.items():
        needed |= hashes if step not in dropped else set()
    probes = [key for key in keys if key.startswith("probe/")]
    return _Need(needed, unseen, (*sorted(dropped), *probes, *(f"blobs/{sha}" for sha in sorted(stored - needed))))


def _busy_in_words(objects: Objects, holder: str, now: float) -> str:
    """Which night is running, in words; empty: none. Recorded pipelines are checked, whatever a listing shows."""
    record = pipelines.load_record(objects)
    keys = {lease.lease_key(name) for name in (record.roots if record else ())}
    keys |= {key for key in objects.keys("pipelines/") if key.endswith("/lease.json")}
    return next((words for key in sorted(keys) if (words := lease.lease_words(objects, key, now, holder))), "")


def _move_all(objects: Objects, keys: tuple[str, ...], act: RemovalRequest, alive: lease.Alive) -> tuple[str, ...]:
    if not keys:
        return ()
    wanted = Removal(number=0, when=act.when, by=act.by, reason=trash.WHY, keys=keys)
    removal = trash.removal_record(objects, wanted)
    moved = []
    for key in keys:
        alive()
        if trash.move_to_trash(objects, removal, key):
            moved.append(key)
    return tuple(moved)


def _empty_trash(
    objects: Objects, need: _Need, act: RemovalRequest, grace: float, alive: lease.Alive
) -> tuple[list[str], list[str]]:
    """Delete unneeded objects whose grace period is over, and restore needed ones at once.

    Nothing is deleted while a record is damaged: it may name objects in the trash, and a backup may restore it.
    """
    deleted, restored = [], []
    for removal in trash.open_removals(objects):
        alive()
        wanted = [key for key in removal.keys if key.removeprefix("blobs/") in need.blobs]
        brought_back = [
            key for key in wanted if objects.read(key) is None and trash.restore_object(objects, removal, key)
        ]
        restored += brought_back
        if (
            need.unseen
            or removal.versions
            or act.when - removal.when < grace
            or not all(_is_intact(objects, key) for key in wanted)
        ):
            continue
        unneeded = [key for key in removal.keys if key not in wanted]
        closed = RemovalOutcome(
            number=removal.number, when=act.when, by=act.by, deleted=tuple(unneeded), restored=tuple(brought_back)
        )
        for key in removal.keys:
            alive()
            trash.delete_removal(objects, removal, key)
        trash.close_removal(objects, closed)
        deleted += unneeded
    return deleted, restored


def _is_intact(objects: Objects, key: str) -> bool:
    """Whether a needed blob has its hash; a damaged one is first restored from the trash."""
    try:
        return bool(blobs.get(objects, key.removeprefix("blobs/")))
    except (FileNotFoundError, ValueError) as error:
        log.warning("%s; the trash is kept", error)
        return False


def expired_versions(
    objects: Objects, pipeline: str, idle: Iterable[tuple[int, int]], act: RemovalRequest, grace: float
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Unneeded versions of the lake: those that still wait, and those whose grace period is over."""
    since = {
        version: removal.when
        for removal in reversed(trash.open_removals(objects))  # so that the oldest removal counts
        for version in (removal.versions if removal.pipeline == pipeline else ())
    }
    versions = [*idle]
    over = [version for version in versions if act.when - since.get(version, act.when) >= max(grace, 1.0)]
    return [version for version in versions if version not in over], over
