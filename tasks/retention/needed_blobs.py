"""Needed blobs: what nights, promotion logs and unfinished work need. If not all records can be read, this is an error.

A listing only shows what could be removed. It never proves that something is unneeded. Pipelines are known from their
record, and their nights are read one by one from the first. If the listing and the record differ, nothing is removed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple

from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.checksum import unseal
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed_bytes
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.record.manifest import Manifest, PeriodLogs

HASH = re.compile(rb"[0-9a-f]{64}")
NAMED = re.compile(r"(\d{6}/\d{4}|\d{8})\.json")  # a night's revision, an entry of the log
AT_ONCE = 16  # nights that are read in parallel
GIVEN_UP = b"given up"  # a person writes this in place of a damaged record that no backup has
ADOPT = "Run `nightloop maintain PLAN --adopt`, which lists what the store shows"


class PipelineRecord(NamedTuple):
    """The nights of one pipeline: every revision by its key, as stored, and the current ones in order."""

    sealed: Mapping[str, bytes]
    current: Mapping[int, Manifest]
    damaged: frozenset[int]  # nights that have a damaged revision and a newer one


class NeededBlobs(NamedTuple):
    """Names of all blobs that records need, and the keys of damaged superseded nights: what else they need is not known."""

    blobs: set[str]
    unseen: tuple[str, ...]


def needed_names(objects: Objects, keys: Collection[str]) -> NeededBlobs:
    """The blobs that the records of all pipelines need; `keys`: a listing of the whole store.

    Raises DataError if the store has no complete record of its pipelines, if nights, log entries or pipelines are missing
    that another record names, if the listing is incomplete, or if a record is damaged.
    """
    names: set[str] = set()
    unseen: list[str] = []
    for pipeline in _recorded_pipelines(objects, keys):
        recorded = nights_of(objects, pipeline, keys)
        for key, sealed in recorded.sealed.items():
            names |= {sha.decode() for sha in HASH.findall(sealed)}  # also those that a damaged record still shows
            if _is_unreadable(key, sealed) and sealed.strip() != GIVEN_UP:
                unseen.append(key)
        for entry in _read_log(objects, pipeline, recorded, keys):
            names |= {entry.checkpoint.weights, entry.checkpoint.memory, entry.vocabulary}
    return NeededBlobs(names, tuple(unseen))


class LakeReads(NamedTuple):
    """The versions of the lake that a pipeline's nights read."""

    versions: dict[int, set[int]]  # by period index, of all nights, superseded ones too
    logs: list[PeriodLogs]  # of the current complete nights


def reads_of(objects: Objects, pipeline: str) -> LakeReads:
    """The versions of the lake that the nights of a pipeline read. Raises as `needed_names` does."""
    keys = list(objects.keys("pipelines/"))
    _recorded_pipelines(objects, keys)
    versions: dict[int, set[int]] = {}
    recorded = nights_of(objects, pipeline, keys)
    complete = [night for night in recorded.current.values() if night.outcome == "complete"]
    read = [logs for night in complete for logs in night.logs]
    for key, sealed in recorded.sealed.items():
        night = _night_of(key)
        if _is_unreadable(key, sealed):  # what it read is not known: keep every version up to that of its replacement
            for logs in recorded.current[night].logs:
                versions.setdefault(logs.period, set()).update(range(1, logs.version + 1))
            continue
        for logs in manifest_store.parse_manifest(objects, (pipeline, night, _revision_of(key)), sealed).logs:
            versions.setdefault(logs.period, set()).add(logs.version)
    return LakeReads(versions, read)


def mentioned_hashes(objects: Objects, keys: Iterable[str]) -> dict[str, set[str]]:
    """The hashes that each of these records mentions; a missing record mentions none."""
    stored = {key: objects.read(key) for key in keys}
    verified = {key: _read_again(objects, key, data[0]) if data else b"" for key, data in stored.items()}
    return {key: {sha.decode() for sha in HASH.findall(data)} for key, data in verified.items()}


def nights_of(objects: Objects, pipeline: str, keys: Collection[str]) -> PipelineRecord:
    """All nights of a pipeline, from the first of each of its chains on. Raises DataError as `needed_names` does."""
    roots = pipelines.first_nights(objects, pipeline) or ()
    sealed: dict[str, bytes] = {}
    for root in roots:
        sealed |= _read_nights_from(objects, pipeline, root)
        if manifest_store.manifest_key(pipeline, root, 1) not in sealed:
            raise DataError(
                f"{pipeline} begins at night {root} by its record, and the store does not show it: is its folder mounted and readable? "
                f"Nothing was removed. If the pipeline was given up: {ADOPT}"
            )
    _refuse_difference(pipeline, "nights", sealed, keys)
    newest = {_night_of(key): key for key in sorted(sealed)}
    current: dict[int, Manifest] = {}
    for index, key in newest.items():
        try:
            current[index] = manifest_store.parse_manifest(objects, (pipeline, index, _revision_of(key)), sealed[key])
        except ValueError as error:
            raise DataError(f"nothing was removed: {error}. Run these nights again first") from error
    recorded = PipelineRecord(
        sealed, current, frozenset(_night_of(key) for key, data in sealed.items() if _is_unreadable(key, data))
    )
    _refuse_broken_chain(pipeline, recorded)
    return recorded


def _night_of(key: str) -> int:
    return int(key.split("/")[-2])


def _revision_of(key: str) -> int:
    return int(key.split("/")[-1].removesuffix(".json"))


def _is_unreadable(key: str, sealed: bytes) -> bool:
    try:
        unseal(key, sealed)
    except ValueError:
        return True
    return False


def _recorded_pipelines(objects: Objects, keys: Collection[str]) -> list[str]:
    record = pipelines.load_record(objects)
    if record is None or not record.complete:
        raise DataError(
            "nothing was removed: the store has no complete record of its pipelines (an older release wrote it). "
            f"{ADOPT}, and asks you to confirm that these are all"
        )
    if unknown := sorted(set(pipelines.listed_pipelines(keys)) - set(record.roots)):
        raise DataError(
            f"nothing was removed: the store shows {', '.join(unknown)}, which its record of pipelines does not name. If it is a "
            f"copy, move its folder away; else: {ADOPT}"
        )
    return list(record.roots)


def _read_nights_from(objects: Objects, pipeline: str, root: int) -> dict[str, bytes]:
    """Every revision of the consecutive nights from `root` on, read until there is none."""
    sealed: dict[str, bytes] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in count(root, AT_ONCE):
            nights = list(
                pool.map(lambda i: manifest_store.read_revisions(objects, pipeline, i), range(start, start + AT_ONCE))
            )
            for index, revisions in zip(range(start, start + AT_ONCE), nights, strict=True):
                if not revisions:
                    return sealed
                for number, data in enumerate(revisions, start=1):
                    key = manifest_store.manifest_key(pipeline, index, number)
                    sealed[key] = _read_again(objects, key, data)
    return sealed


def _read_again(objects: Objects, key: str, data: bytes) -> bytes:
    """The stored record. It is read again if a read of it was bad; if the record itself is damaged it is returned as it is."""

    def check_seal(read: bytes) -> bytes:
        unseal(key, read)
        return read

    try:
        return read_parsed_bytes(objects, key, data, check_seal)
    except ValueError:
        return data


def _read_log(objects: Objects, pipeline: str, recorded: PipelineRecord, keys: Collection[str]) -> list[Entry]:
    entries = promotion_log.read_log(objects, pipeline)
    _refuse_difference(pipeline, "log", [promotion_log.entry_key(pipeline, entry.number) for entry in entries], keys)
    manifests = b"".join(recorded.sealed.values())
    for entry in entries:
        if entry.manifest.encode() not in manifests and entry.period not in recorded.damaged:
            raise DataError(
                f"nothing was removed: entry {entry.number} of {pipeline}'s promotion log names a manifest of {entry.name} "
                "that the store does not show. Restore the nights from your backup"
            )
    return entries


def _refuse_difference(pipeline: str, kind: str, read: Collection[str], keys: Collection[str]) -> None:
    """Raise DataError if the listing and the records that were read differ."""
    prefix = f"pipelines/{pipeline}/{kind}/"  # other keys there were not written by nightloop, and are ignored
    listed = {key for key in keys if key.startswith(prefix) and NAMED.fullmatch(key.removeprefix(prefix))}
    if hidden := sorted({*read} - listed):
        raise DataError(
            f"nothing was removed: the listing of the store leaves out {len(hidden)} records that exist, the first is "
            f"{hidden[0]}. The listing is incomplete; run again later, and check links and permissions"
        )
    if loose := sorted(listed - {*read}):
        raise DataError(
            f"nothing was removed: {loose[0]} and {len(loose) - 1} more are listed, but cannot be reached from the record of "
            f"pipelines: nights between are missing. {ADOPT}"
        )


def _refuse_broken_chain(pipeline: str, recorded: PipelineRecord) -> None:
    for index, manifest in recorded.current.items():
        if manifest.previous is None or index - 1 in recorded.damaged:
            continue
        before = [data for key, data in recorded.sealed.items() if _night_of(key) == index - 1]
        if not any(data.endswith(b'"%s"}\n' % manifest.previous.encode()) for data in before):
            raise DataError(
                f"nothing was removed: night {index} of {pipeline} builds on manifest {manifest.previous[:12]}, which the store "
                "does not show. Restore the nights from your backup"
            )
