"""Trash: objects that a sweep removed, kept for a time, with a numbered record of when, by which run and why.

`removals/00000007.json` names the keys and is written before any of them moves. Their bytes are under
`trash/00000007/<key>` until the grace period is over and nothing needs them. Records are found by their numbers, not by a
listing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from nightloop.tasks.objects.checksum import ROWS, check_blob, check_rows, unseal
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.objects.retry import PAUSES
from nightloop.tasks.objects.sealed_record import read_record, seal_record
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.frozen import Frozen

log = logging.getLogger(__name__)
WHY = "no manifest, log entry or unfinished work named it"
GAP = 4  # consecutive absent numbers after which the search for removals ends
UNREAD = "no night read it and a newer version of its period is there"


class Removal(Frozen):
    """What was put into the trash together: keys of the store, and versions of the lake that are to be deleted."""

    format: Literal[1] = 1
    number: int
    when: float  # seconds since 1970
    by: str  # the run
    reason: str
    keys: tuple[str, ...] = ()
    pipeline: str = ""  # whose versions these are
    versions: tuple[tuple[int, int], ...] = ()  # (period, version); they stay in the lake until the grace is over

    @property
    def date(self) -> str:
        """The day in UTC."""
        return datetime.fromtimestamp(self.when, UTC).date().isoformat()


class RemovalOutcome(Frozen):
    """The outcome of a removal."""

    format: Literal[1] = 1
    number: int
    when: float
    by: str
    deleted: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    given_up: tuple[tuple[int, int], ...] = ()  # versions of the lake


class RemovalRequest(NamedTuple):
    """Who sweeps, and when."""

    by: str
    when: float  # seconds since 1970


def removals(objects: Objects) -> Iterator[Removal]:
    """All removals, oldest first. If a record is damaged, its trash stays, and a warning names it."""
    for number in _numbers(objects):
        try:
            removal = _read(objects, number)
        except ValueError as error:
            log.warning("%s; the objects under trash/%08d/ stay there", error, number)
            continue
        if removal is not None:
            yield removal


def _numbers(objects: Objects) -> Iterator[int]:
    """The numbers of all removals. Up to `GAP` - 1 missing records are skipped."""
    absent, number = 0, 0
    while absent < GAP:
        number += 1
        exists = any(objects.read(key) is not None for key in (_key(number), _closed_key(number)))
        absent = 0 if exists else absent + 1
        if exists:
            yield number


def open_removals(objects: Objects) -> list[Removal]:
    """Removals that are not closed yet."""
    return [removal for removal in removals(objects) if objects.read(_closed_key(removal.number)) is None]


def removal_record(objects: Objects, removal: Removal) -> Removal:
    """Write the record under the next free number, and return it with its number."""
    number = 1 + max(_numbers(objects), default=0)
    for pause in PAUSES:
        time.sleep(pause)
        numbered = removal.model_copy(update={"number": number})
        if objects.create(_key(number), seal_record(numbered)):
            return numbered
        if _read(objects, number) == numbered:
            return numbered  # an earlier attempt of this run had succeeded without an answer
        number += 1
    raise TimeoutError("other sweeps were writing at the same time; nothing was removed. Run maintain again")


def settle_versions(
    objects: Objects,
    pipeline: str,
    waiting: Sequence[tuple[int, int]],
    gone: Sequence[tuple[int, int]],
    act: RemovalRequest,
) -> None:
    """Record which versions of the lake wait from now on, and close the removals that have no waiting version left."""
    removals_of_pipeline = [removal for removal in open_removals(objects) if removal.pipeline == pipeline]
    recorded = {version for removal in removals_of_pipeline for version in removal.versions}
    if new := tuple(version for version in waiting if version not in recorded):
        wanted = Removal(number=0, when=act.when, by=act.by, reason=UNREAD, pipeline=pipeline, versions=new)
        removal_record(objects, wanted)
    for removal in removals_of_pipeline:
        if not {*removal.versions} & {*waiting}:
            given_up = tuple(version for version in removal.versions if version in {*gone})
            close_removal(objects, RemovalOutcome(number=removal.number, when=act.when, by=act.by, given_up=given_up))


def move_to_trash(objects: Objects, removal: Removal, key: str) -> bool:
    """Move an object into the trash; False if it does not exist, or stays because every read of it was bad.

    It is copied before it is removed, and both are verified: a copy of a bad read could not be restored.
    """
    place = _place(removal, key)
    try:
        data = read_parsed(objects, key, lambda data: check_object(key, data))
    except ValueError as error:
        log.warning("%s; it stays where it is", error)
        return False
    if data is None:
        return False
    objects.create(place, data)
    if _read_copy(objects, removal, key) != data:
        raise StoreError(f"{place} does not hold what was written; {key} was not removed")
    objects.remove(key)
    return True


def restore_object(objects: Objects, removal: Removal, key: str) -> bool:
    """Restore an object from the trash, unless it exists again; False if the trash does not have it, or only damaged.

    An object that exists and is damaged is replaced.
    """
    try:
        data = _read_copy(objects, removal, key)
    except ValueError as error:
        log.warning("%s; %s is not restored", error, key)
        return False
    if data is None:
        return False
    if not objects.create(key, data) and _is_damaged(objects, key) and (stored := objects.read(key)):
        objects.swap(key, data, stored[1])
    if _is_damaged(objects, key):
        raise StoreError(f"{key} could not be restored: the store does not show it, or changed; it stays in the trash")
    return True


def _read_copy(objects: Objects, removal: Removal, key: str) -> bytes | None:
    """An object's copy in the trash. Raises DataError if every read of it is bad."""
    return read_parsed(objects, _place(removal, key), lambda data: check_object(key, data))


def _is_damaged(objects: Objects, key: str) -> bool:
    """Whether an object is absent, or every read of it is bad."""
    try:
        return read_parsed(objects, key, lambda data: check_object(key, data)) is None
    except ValueError:
        return True


def check_object(key: str, data: bytes) -> bytes:
    """The bytes of an object. Raises DataError if it is a blob, a copy of rows or a record, and its hash is another one."""
    if key.startswith("blobs/"):
        return check_blob(key, data)
    if ROWS.fullmatch(key):
        return check_rows(key, data)
    if key.startswith("pipelines/"):
        unseal(key, data)
    return data


def delete_removal(objects: Objects, removal: Removal, key: str) -> None:
    """Delete the copy in the trash."""
    objects.remove(_place(removal, key))


def close_removal(objects: Objects, closed: RemovalOutcome) -> None:
    """Record the outcome of a removal. If two runs do so, the first one counts."""
    objects.create(_closed_key(closed.number), seal_record(closed))


def restore_removal(objects: Objects, key: str, parse: Callable[[bytes], bytes]) -> bytes | None:
    """Restore a key from the trash and return its bytes; None if no removal has a copy that is whole."""
    for removal in reversed([found for found in removals(objects) if key in found.keys]):
        try:
            data = read_parsed(objects, _place(removal, key), parse)
        except ValueError as error:  # an earlier removal may have a whole copy
            log.warning("%s; it is not restored from removal %d", error, removal.number)
            continue
        if data is None:
            continue
        try:
            objects.create(key, data)
        except PermissionError:  # a reader without write access gets the bytes from the trash
            return data
        return data
    return None


def removal_in_words(objects: Objects, key: str) -> str:
    """When and why a key was removed, for a message; empty if no removal names it."""
    removals_of_key: Sequence[Removal] = [removal for removal in removals(objects) if key in removal.keys]
    if not removals_of_key:
        return ""
    last = removals_of_key[-1]
    return f": it was removed on {last.date} by {last.by} because {last.reason} (removal {last.number})"


def _read(objects: Objects, number: int) -> Removal | None:
    return read_record(objects, _key(number), Removal, "a removal")


def _key(number: int) -> str:
    return f"removals/{number:08d}.json"


def _closed_key(number: int) -> str:
    return f"removals/{number:08d}.closed.json"


def _place(removal: Removal, key: str) -> str:
    return f"trash/{removal.number:08d}/{key}"
