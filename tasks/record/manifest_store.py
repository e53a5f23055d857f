"""Manifest store: read, find and publish the manifests of nights. A night exists if its manifest does."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from nightloop.tasks.objects import blobs, pipelines
from nightloop.tasks.objects.checksum import seal, unseal
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed_bytes
from nightloop.tasks.plan.errors import DataError, NotReady
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.manifest import FORMAT, Manifest

log = logging.getLogger(__name__)
COUNTS_AS_MISSING = "%s; the night counts as missing until it is run again"


def manifest_key(pipeline: str, index: int, revision: int) -> str:
    """The key of a revision of a night. Raises DataError if an index or a revision is out of range."""
    if not (0 <= index < 10**6 and 1 <= revision < 10**4):
        raise DataError(f"night {index}, revision {revision}: a night is 0 to 999999, a revision 1 to 9999")
    return f"pipelines/{checked_pipeline(pipeline)}/nights/{index:06d}/{revision:04d}.json"


def current_manifest(objects: Objects, pipeline: str, index: int) -> Manifest | None:
    """The night's newest revision, or None. A damaged one is logged and counts as missing, so that it can be run again."""
    manifest_key(pipeline, index, 1)  # an impossible key is the caller's mistake and not a damaged record
    try:
        return verified_manifest(objects, pipeline, index)
    except ValueError as error:
        log.warning(COUNTS_AS_MISSING, error)
        return None


def verified_manifest(objects: Objects, pipeline: str, index: int) -> Manifest | None:
    """As `current_manifest`, but raises DataError if the newest revision was changed, cut off or is of another night."""
    revisions = list(_revisions(objects, pipeline, index))
    return parse_manifest(objects, (pipeline, index, len(revisions)), revisions[-1]) if revisions else None


def next_revision(objects: Objects, pipeline: str, index: int) -> int:
    """The number of the next revision of a night, damaged revisions counted."""
    return 1 + sum(1 for _ in _revisions(objects, pipeline, index))


def read_chain(objects: Objects, pipeline: str, first: int, last: int) -> dict[int, Manifest]:
    """Current manifests of periods `first` to `last`, both included. Damaged ones are logged and count as missing."""
    chain, damaged = survey_chain(objects, pipeline, first, last)
    for damage in damaged.values():
        log.warning(COUNTS_AS_MISSING, damage)
    return chain


def survey_chain(objects: Objects, pipeline: str, first: int, last: int) -> tuple[dict[int, Manifest], dict[int, str]]:
    """Current manifests of these periods, and what is wrong with the damaged ones. Each is read once.

    They are read in parallel, because a store may be slow. A night that the listing leaves out is read by its key. Behind the
    last night that is listed, and those that follow it, there is none: a night needs the one before it.
    """
    newest = listed_revisions(objects, pipeline)
    last = min(last, _end_of(objects, pipeline, newest, first))

    def read_or_explain(index: int) -> Manifest | str | None:
        try:
            if index in newest and (stored := objects.read(manifest_key(pipeline, index, newest[index]))):
                return parse_manifest(objects, (pipeline, index, newest[index]), stored[0])
            return verified_manifest(objects, pipeline, index)
        except ValueError as error:
            return str(error)

    indexes = range(first, last + 1)
    with ThreadPoolExecutor(16) as pool:
        results = dict(zip(indexes, pool.map(read_or_explain, indexes), strict=True))
    good = {index: result for index, result in results.items() if isinstance(result, Manifest)}
    return good, {index: result for index, result in results.items() if isinstance(result, str)}


def listed_revisions(objects: Objects, pipeline: str) -> dict[int, int]:
    """The newest revision of each night by its index, as the store lists them. A listing may leave out what is new."""
    prefix = f"pipelines/{checked_pipeline(pipeline)}/nights/"
    newest: dict[int, int] = {}
    for key in objects.keys(prefix):
        if named := re.fullmatch(r"(\d{6})/(\d{4})\.json", key.removeprefix(prefix)):
            night, revision = int(named[1]), int(named[2])
            newest[night] = max(revision, newest.get(night, 0))
    return newest


def newest_index(objects: Objects, pipeline: str, root: int) -> int:
    """Index of the last night that has a manifest, damaged or not; below the root if there is none.

    Nights behind a gap do not count: they are of another chain. A night that the listing leaves out is found by its key.
    """
    listed, index = listed_revisions(objects, pipeline), root
    while index in listed or objects.read(manifest_key(pipeline, index, 1)) is not None:
        index += 1
    return index - 1


def _end_of(objects: Objects, pipeline: str, listed: Collection[int], root: int) -> int:
    """The last night that is listed, or that follows the listed ones without a gap; below the root if there is none."""
    index = max((night for night in listed if night >= root), default=root - 1) + 1
    while objects.read(manifest_key(pipeline, index, 1)) is not None:
        index += 1
    return index - 1


def manifest_by_hash(objects: Objects, pipeline: str, hash: str, index: int) -> Manifest:
    """The revision that has this hash. Raises NotReady if there is none, DataError if it is damaged."""
    for revision, sealed in enumerate(_revisions(objects, pipeline, index), start=1):
        if sealed.endswith(b'"%s"}\n' % hash.encode()):
            return parse_manifest(objects, (pipeline, index, revision), sealed)
    for revision in range(1, next_revision(objects, pipeline, index)):  # one of the reads may have been bad
        manifest = _read_or_none(objects, (pipeline, index, revision))
        if manifest is not None and manifest.hash == hash:
            return manifest
    raise NotReady(f"no revision of night {index} of {pipeline} has the hash {hash[:80]}; was it changed or removed?")


def read_revision(objects: Objects, pipeline: str, index: int, number: int) -> Manifest:
    """One revision of a night. Raises NotReady if there is none, DataError if it is damaged."""
    stored = objects.read(manifest_key(pipeline, index, number))
    if stored is None:
        raise NotReady(f"night {index} of {pipeline} has no revision {number}")
    return parse_manifest(objects, (pipeline, index, number), stored[0])


def create_manifest(objects: Objects, manifest: Manifest) -> bool:
    """Write a night's manifest. True: these bytes are stored; False: another manifest has this key, nothing was written.

    Raises DataError if a revision is left out, if the predecessor it names is not a manifest of the night before,
    or if a blob it names is absent or damaged.
    """
    pipeline, index, revision = manifest.pipeline, manifest.period, manifest.revision
    if revision > 1 and objects.read(manifest_key(pipeline, index, revision - 1)) is None:
        raise DataError(f"revision {revision} of night {index} of {pipeline} must wait for revision {revision - 1}")
    _refuse_damaged_blobs(objects, manifest)
    _register(objects, manifest)
    key, data = manifest_key(pipeline, index, revision), seal(manifest.data)
    if objects.create(key, data):
        return True
    stored = objects.read(key)  # an earlier attempt of this run may have succeeded without an answer
    return stored is not None and stored[0] == data


def _register(objects: Objects, manifest: Manifest) -> None:
    """Add the night's chain to the record of pipelines, so that it is found without a listing."""
    roots = pipelines.first_nights(objects, manifest.pipeline) or ()
    if manifest.previous is None and manifest.period not in roots:
        pipelines.register_pipeline(objects, manifest.pipeline, manifest.period)
    elif not any(root <= manifest.period for root in roots):  # an older release started the chain
        first = manifest.period
        while first > 0 and any(_revisions(objects, manifest.pipeline, first - 1)):
            first -= 1
        pipelines.register_pipeline(objects, manifest.pipeline, first)


def _refuse_damaged_blobs(objects: Objects, manifest: Manifest) -> None:
    """Raise DataError if a new blob of the manifest is missing or damaged.

    Blobs of the predecessor were verified when it was published, and a sweep never removes them, so they are not read.
    """
    pipeline, index = manifest.pipeline, manifest.period
    promised: tuple[str, ...] = ()
    if manifest.previous is not None:
        try:
            promised = blobs_of(manifest_by_hash(objects, pipeline, manifest.previous, index - 1))
        except LookupError as error:
            raise DataError(f"night {index} of {pipeline} names a predecessor that does not exist: {error}") from error
    if problems := blob_damage(objects, sorted({*blobs_of(manifest)} - {*promised})):
        raise DataError(f"night {index} of {pipeline} cannot be recorded, run it again: {'; '.join(problems)}")


def predecessor(objects: Objects, pipeline: str, index: int, root: int) -> Manifest | None:
    """The manifest that night `index` builds on; None at the root. Raises NotReady with the backfill that makes it."""
    if index == root:
        return None
    if index < root:
        raise NotReady(f"night {index} of {pipeline} is before the root {root}; there is nothing it could build on")
    try:
        manifest = verified_manifest(objects, pipeline, index - 1)
    except ValueError as error:
        raise NotReady(f"{error}. {backfill_advice(pipeline, index - 1, index, 'missing')}") from error
    if manifest is None:
        start = _first_missing(objects, pipeline, index - 1, root)
        raise NotReady(
            f"night {index - 1} of {pipeline} is missing. {backfill_advice(pipeline, start, index, 'missing')}"
        )
    if manifest.outcome == "blocked":
        reason = f"night {index - 1} ({manifest.name}) of {pipeline} is blocked: {manifest.reason[:300]}"
        raise NotReady(
            f"{reason}. Correct its data or override it, then: {backfill_advice(pipeline, index - 1, index, 'failed')}"
        )
    if (manifest.previous is None) != (index - 1 == root):
        reason = f"night {index - 1} of {pipeline} belongs to a chain with another root than {root}"
        raise NotReady(f"{reason}. {backfill_advice(pipeline, root, index, 'all')}")
    return manifest


def backfill_advice(pipeline: str, start: int, end: int, what: str) -> str:
    """The sentence that names the backfill which repairs the chain."""
    return f"To repair it: nightloop backfill {as_given(pipeline)} --start {start} --end {end} --what {what}"


def blobs_of(manifest: Manifest) -> tuple[str, ...]:
    """Names of all blobs that a manifest names, each once, in order."""
    checkpoints = list(manifest.checkpoints.values())
    checkpoints += [reference.checkpoint for reference in (manifest.served, manifest.champion) if reference]
    names = [*((manifest.vocabulary,) if manifest.vocabulary else ()), *(part.blob for part in manifest.taken)]
    names += [reference.blob for reference in manifest.validated] + [
        reference.blob for reference in manifest.scores.values()
    ]
    return tuple(sorted({*names, *(k.weights for k in checkpoints), *(k.memory for k in checkpoints)}))


def blob_damage(objects: Objects, names: Sequence[str]) -> list[str]:
    """Which of these blobs are missing or have another hash, in words."""
    problems = []
    for sha in names:
        try:
            blobs.get(objects, sha)
        except (FileNotFoundError, ValueError) as error:
            problems.append(str(error))
    return problems


def read_revisions(objects: Objects, pipeline: str, index: int) -> list[bytes]:
    """Every revision of a night as it is stored, read until there is none."""
    return list(_revisions(objects, pipeline, index))


def _revisions(objects: Objects, pipeline: str, index: int) -> Iterator[bytes]:
    """Sealed bytes of revision 1, 2, ..., read until there is none, because a listing may be incomplete."""
    revision = 1
    while (stored := objects.read(manifest_key(pipeline, index, revision))) is not None:
        yield stored[0]
        revision += 1


def _read_or_none(objects: Objects, position: tuple[str, int, int]) -> Manifest | None:
    stored = objects.read(manifest_key(*position))
    try:
        return parse_manifest(objects, position, stored[0]) if stored else None
    except ValueError:
        return None


def _first_missing(objects: Objects, pipeline: str, index: int, root: int) -> int:
    while index > root and not any(_revisions(objects, pipeline, index - 1)):
        index -= 1
    return index


def parse_manifest(objects: Objects, position: tuple[str, int, int], sealed: bytes) -> Manifest:
    """Parse the manifest of this pipeline, night and revision. Raises DataError if repeated reads show it damaged."""
    return read_parsed_bytes(objects, manifest_key(*position), sealed, lambda data: _parse_sealed(*position, data))


def _format(data: bytes) -> object:
    """The format that a manifest says it has; None if it says none."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document.get("format") if isinstance(document, dict) else None


def _parse_sealed(pipeline: str, index: int, revision: int, sealed: bytes) -> Manifest:
    key = manifest_key(pipeline, index, revision)
    data = unseal(key, sealed)
    if (version := _format(data)) not in (FORMAT, None):
        raise DataError(
            f"{key} has format {version}, and this nightloop reads format {FORMAT}: use the release that wrote this store, or start "
            "with an empty one"
        )
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise DataError(f"{key} is not a manifest that this nightloop reads: {error}") from error
    if manifest.data != data or (manifest.pipeline, manifest.period, manifest.revision) != (pipeline, index, revision):
        description = f"night {manifest.period}, revision {manifest.revision} of {manifest.pipeline}"
        raise DataError(f"{key} holds the manifest of {description}: it was swapped or written by hand")
    return manifest
