"""Promotion log: the champion, and moving it. If two runs try at once, one succeeds and the other gets a conflict error.

The log is authoritative. Its entries are created and never changed, and creating number n+1 is the compare-and-swap that
decides between two runs. `champion.json` is a copy of the newest entry for fast reads. A reader that finds it stale or
damaged repairs it. So a crash between the two writes leaves a valid promotion.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.copies import with_copies
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects, swap_or_create
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.objects.retry import PAUSES
from nightloop.tasks.objects.sealed_record import seal_record, unseal_record
from nightloop.tasks.plan.errors import ConflictError, DataError, PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.entries import (
    Act,
    Entry,
    parse_instant,
    refuse_without_reason,
    repeats_entry,
    rollback_target,
)
from nightloop.tasks.record.manifest import Manifest

logger = logging.getLogger(__name__)


def read_champion(objects: Objects, pipeline: str) -> Entry | None:
    """The log's newest entry, which is the champion; None if there is none. A stale or wrong pointer is corrected.

    Raises DataError if an entry of the log was changed, or removed from its end.
    """
    pointer = _pointer(objects, pipeline)
    number = pointer.number if pointer else 0
    newest = _entry(objects, pipeline, number) if pointer else None
    if pointer is not None and newest is None:
        raise DataError(
            f"{pointer_key(pipeline)} names entry {number}, which the promotion log lacks: it was removed. Restore the "
            f"log; or remove {pointer_key(pipeline)} to use the entries that the log still has"
        )
    while (entry := _entry(objects, pipeline, number + 1)) is not None:
        newest, number = entry, number + 1
    if newest is not None and newest != pointer:
        _move_pointer(objects, newest)
    return newest


def read_log(objects: Objects, pipeline: str) -> list[Entry]:
    """All entries, oldest first. Raises DataError if one was changed or removed."""
    newest = read_champion(objects, pipeline)
    numbers = range(1, newest.number + 1 if newest else 1)
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(lambda number: _entry(objects, pipeline, number), numbers))
    gaps = [number for number, entry in zip(numbers, entries, strict=True) if entry is None]
    if gaps:
        raise DataError(f"the promotion log of {pipeline} lacks entries {gaps[:10]}: they were removed; restore them")
    return [entry for entry in entries if entry is not None]


def known_log(objects: Objects, pipeline: str) -> list[Entry]:
    """As `read_log`, but entries that were read before come from their copies."""
    return read_log(with_copies(objects, pipeline), pipeline)


def append_promotion(
    objects: Objects, pipeline: str, entry: Entry, expect: int, check: Callable[[Entry], None] | None = None
) -> Entry | None:
    """Make `entry` (see `draft_entry`) the champion, if entry number `expect` (0: none) still is the newest.

    None: another run or person moved the champion first. Repeating an act returns the entry that it made the first time.
    `check` raises if the entry cannot serve for another reason. Raises PlanError or DataError if the entry may not serve:
    its manifest is absent or not current, its verdict is not promote and it is not forced, a blob is damaged, or it has no
    reason.
    """
    refuse_without_reason("a promotion", entry.reason)
    _refuse_unfit(objects, pipeline, entry)
    if check is not None:
        check(entry)
    return _append(objects, pipeline, entry, expect)


def append_rollback(
    objects: Objects, pipeline: str, act: Act, expect: int, to: str | None = None,
    check: Callable[[Entry], None] | None = None,
) -> Entry | None:  # fmt: skip
    """Return to the champion before this one, or to the one of manifest hash `to`; `expect`, `check` and None as in
    `append_promotion`.

    Raises PlanError without a reason, or if there is no champion to return to.
    """
    refuse_without_reason("a rollback", act.reason)
    entries = known_log(objects, pipeline)
    written = entries[expect:]  # our own entry, if an earlier attempt succeeded without an answer
    target = rollback_target(entries[:expect], to)
    entry = _draft_act(target, "rollback", act).model_copy(update={"evidence": {"returns_to": target.number}})
    if written and not repeats_entry(entry, written[0]):
        return None
    _recorded_night(objects, pipeline, entry)
    _check_blobs(objects, entry)
    if check is not None:
        check(entry)
    return _append(objects, pipeline, entry, expect)


def append_hold(objects: Objects, pipeline: str, act: Act, expect: int, pinned: bool) -> Entry | None:
    """Pin the champion, so that the gate may not move it, or unpin it; `expect` and None as in `append_promotion`.

    Raises PlanError without a reason, or if there is no champion.
    """
    refuse_without_reason("a pin or its removal", act.reason)
    last = _entry(objects, pipeline, expect) if expect else None
    if last is None:
        raise PlanError(f"{pipeline} has no champion yet: there is nothing to pin")
    entry = _draft_act(last, "pin" if pinned else "unpin", act)
    return _append(objects, pipeline, entry.model_copy(update={"evidence": {}}), expect)


def _draft_act(target: Entry, action: str, act: Act) -> Entry:
    """An entry that keeps or restores the champion of `target`."""
    parse_instant(act.when)
    changes = {"action": action, "by": act.by, "when": act.when, "reason": act.reason, "at_period": act.at_period}
    return target.model_copy(update={**changes, "pinned": action != "unpin"})


def pointer_key(pipeline: str) -> str:
    """The key of the pointer."""
    return f"pipelines/{checked_pipeline(pipeline)}/champion.json"


def entry_key(pipeline: str, number: int) -> str:
    """The key of an entry of the log."""
    return f"pipelines/{checked_pipeline(pipeline)}/log/{number:08d}.json"


def _append(objects: Objects, pipeline: str, entry: Entry, expect: int) -> Entry | None:
    last = _entry(objects, pipeline, expect) if expect else None
    if expect and last is None:
        raise DataError(f"entry {expect} of {pipeline}'s promotion log does not exist; look at the champion again")
    if repeats_entry(entry, last):
        _settle_pointer(objects, pipeline)
        return last
    numbered = entry.model_copy(update={"number": expect + 1, "previous": last.manifest if last else None})
    created = objects.create(entry_key(pipeline, expect + 1), seal_record(numbered))  # this write is the promotion
    stands = _read_back(objects, pipeline, expect + 1, numbered if created else None)
    _settle_pointer(objects, pipeline)
    return stands if repeats_entry(numbered, stands) else None


def _read_back(objects: Objects, pipeline: str, number: int, created: Entry | None) -> Entry:
    """The entry that has this number. `created`: our entry, if the store confirmed that it created it.

    Raises TimeoutError if the store refused ours and shows no other, ConflictError if it overwrote ours.
    """
    for pause in PAUSES:
        time.sleep(pause)
        try:
            stands = _entry(objects, pipeline, number)
        except OSError as error:
            if created is None:
                break
            logger.warning("entry %d of %s is written, and was not read back: %s", number, pipeline, error)
            return created
        if stands is None and created is not None:
            return created  # the read is older than the write; the created entry is valid
        if stands is not None and created is not None and stands != created:
            raise ConflictError(
                f"the store replaced {entry_key(pipeline, number)}, which it had created for this run: it does not honour "
                "conditional writes. Use another store; until then its record of the champion may be wrong"
            )
        if stands is not None:
            return stands
    raise TimeoutError(
        f"{entry_key(pipeline, number)} exists and cannot be read, so it is not known which run wrote it. Look at "
        f"nightloop status {as_given(pipeline)}; repeating the same act is safe"
    )


def _settle_pointer(objects: Objects, pipeline: str) -> None:
    """Update the pointer from the log. If this fails the entry is still valid: the next reader updates the pointer."""
    try:
        read_champion(objects, pipeline)
    except (OSError, ValueError) as error:
        logger.warning("the promotion of %s is written, its pointer is not up to date yet: %s", pipeline, error)


def _refuse_unfit(objects: Objects, pipeline: str, entry: Entry) -> None:
    manifest = _recorded_night(objects, pipeline, entry)
    recorded = (manifest.checkpoints.get(entry.strategy), manifest.vocabulary, manifest.name)
    if recorded != (entry.checkpoint, entry.vocabulary, entry.name) or entry.pipeline != pipeline:
        raise DataError(f"the entry and {manifest.name}'s manifest do not name the same checkpoint of {entry.strategy}")
    newest = manifest_store.current_manifest(objects, pipeline, entry.period)
    judged = manifest.judged.get(entry.strategy)
    objections = (
        [] if newest == manifest else [f"{manifest.name} was run again since; its revision {manifest.revision} is old"]
    )
    if manifest.verdict != "promote" or (judged is not None and judged.verdict != "promote"):
        verdict = judged.verdict if judged else manifest.verdict
        objections.append(f"the gate's verdict on {entry.strategy} in {manifest.name} is {verdict!r}")
    if objections and not entry.forced:
        raise PlanError(f"{'; '.join(objections)}: to promote it anyway, give --force (force in the form)")
    _check_blobs(objects, entry)


def _recorded_night(objects: Objects, pipeline: str, entry: Entry) -> Manifest:
    try:
        return manifest_store.manifest_by_hash(objects, pipeline, entry.manifest, entry.period)
    except LookupError as error:
        raise DataError(f"only a night that is recorded can serve: {error}") from error


def _check_blobs(objects: Objects, entry: Entry) -> None:
    try:
        blobs.get(objects, entry.checkpoint.weights)
        blobs.get(objects, entry.vocabulary)
    except FileNotFoundError as error:
        raise DataError(f"{entry.strategy} of {entry.name} cannot serve: {error}") from error


def _pointer(objects: Objects, pipeline: str) -> Entry | None:
    """The pointer's entry; None if there is none, or if it is damaged and the log must be read from its start."""
    try:
        return read_parsed(
            objects, pointer_key(pipeline), lambda sealed: _parse(pipeline, pointer_key(pipeline), sealed)
        )
    except ValueError as error:
        logger.warning("%s; it is made again from the promotion log", error)
        return None


def _move_pointer(objects: Objects, newest: Entry) -> None:
    """Update the pointer to this entry, unless it names a newer one already."""
    key = pointer_key(newest.pipeline)
    for pause in PAUSES:
        time.sleep(pause)
        stored = objects.read(key)
        present = _pointer(objects, newest.pipeline)
        if present is not None and (present == newest or present.number > newest.number):
            return
        try:
            done = swap_or_create(objects, key, seal_record(newest), stored[1] if stored else "")
        except PermissionError:
            logger.info(
                "%s is behind the log and may not be written from here", key
            )  # a reader without write access still gets the right champion
            return
        if done:
            return
    logger.warning("%s could not be updated to entry %d; the next reader does it", key, newest.number)


def _entry(objects: Objects, pipeline: str, number: int) -> Entry | None:
    key = entry_key(pipeline, number)
    return read_parsed(objects, key, lambda sealed: _parse(pipeline, key, sealed, number))


def _parse(pipeline: str, key: str, sealed: bytes, number: int | None = None) -> Entry:
    entry = unseal_record(Entry, key, sealed, "an entry")
    if entry.pipeline != pipeline or number not in (None, entry.number):
        raise DataError(f"{key} holds entry {entry.number} of {entry.pipeline}: it was swapped")
    return entry
