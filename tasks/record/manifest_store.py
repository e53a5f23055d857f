"""Manifests: reading, finding and publishing the records of nights; a night exists when its manifest does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from nightloop.tasks.objects import blobs, pipelines
from nightloop.tasks.objects.checksum import seal, unseal
from nightloop.tasks.objects.keys import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed_bytes
from nightloop.tasks.plan.errors import DataError, NotReady
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.manifest import FORMAT, Manifest

log = logging.getLogger(__name__)


def manifest_key(pipeline: str, index: int, revision: int) -> str:
    """Where a revision of a night is kept. Raises DataError if a part is impossible."""
    if not (0 <= index < 10**6 and 1 <= revision < 10**4):
        raise DataError(f"night {index}, revision {revision}: a night is 0 to 999999, a revision 1 to 9999")
    return f"pipelines/{checked_pipeline(pipeline)}/nights/{index:06d}/{revision:04d}.json"


def current_manifest(objects: Objects, pipeline: str, index: int) -> Manifest | None:
    """The night's newest revision, or None. A damaged one is logged and counts as missing, so that it can be mended."""
    manifest_key(pipeline, index, 1)  # an impossible place is the caller's mistake, no damage
    try:
        return verified_manifest(objects, pipeline, index)
    except ValueError as error:
        log.warning("%s; the night counts as missing until it is run again", error)
        return None


def verified_manifest(objects: Objects, pipeline: str, index: int) -> Manifest | None:
    """As `current`, but raises ValueError if the newest revision was changed, cut off or belongs elsewhere."""
    found = list(_revisions(objects, pipeline, index))
    return parse_manifest(objects, (pipeline, index, len(found)), found[-1]) if found else None


def next_revision(objects: Objects, pipeline: str, index: int) -> int:
    """The number that a mended night gets, damaged revisions counted."""
    return 1 + sum(1 for _ in _revisions(objects, pipeline, index))


def read_chain(objects: Objects, pipeline: str, first: int, last: int) -> dict[int, Manifest]:
    """Current manifests of periods `first` to `last`, both included; read side by side, for a store may be far away."""
    indexes = range(first, last + 1)
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda index: current_manifest(objects, pipeline, index), indexes)
        return {index: manifest for index, manifest in zip(indexes, found, strict=True) if manifest is not None}


def survey_chain(objects: Objects, pipeline: str, first: int, last: int) -> tuple[dict[int, Manifest], dict[int, str]]:
    """Current manifests of these periods, and of those that cannot be trusted what is wrong; one reading of each."""

    def read_or_explain(index: int) -> Manifest | str | None:
        try:
            return verified_manifest(objects, pipeline, index)
        except ValueError as error:
            return str(error)

    indexes = range(first, last + 1)
    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(indexes, pool.map(read_or_explain, indexes), strict=True))
    good = {index: one for index, one in found.items() if isinstance(one, Manifest)}
    return good, {index: one for index, one in found.items() if isinstance(one, str)}


def damaged_nights(objects: Objects, pipeline: str, first: int, last: int) -> dict[int, str]:
    """What is wrong with the manifests of these periods that cannot be trusted, by period."""
    wrong = {}
    for index in range(first, last + 1):
        try:
            verified_manifest(objects, pipeline, index)
        except ValueError as error:
            wrong[index] = str(error)
    return wrong


def manifest_by_hash(objects: Objects, pipeline: str, hash: str, index: int) -> Manifest:
    """The revision that has this hash. Raises NotReady if there is none, ValueError where damaged."""
    for revision, sealed in enumerate(_revisions(objects, pipeline, index), start=1):
        if sealed.endswith(b'"%s"}\n' % hash.encode()):
            return parse_manifest(objects, (pipeline, index, revision), sealed)
    for revision in range(1, next_revision(objects, pipeline, index)):  # was one of the reads bad?
        found = _read_or_none(objects, (pipeline, index, revision))
        if found is not None and found.hash == hash:
            return found
    raise NotReady(f"no revision of night {index} of {pipeline} has the hash {hash[:80]}; was it changed or removed?")


def read_revision(objects: Objects, pipeline: str, index: int, number: int) -> Manifest:
    """One revision of a night. Raises NotReady if there is none, ValueError where it is damaged."""
    found = objects.read(manifest_key(pipeline, index, number))
    if found is None:
        raise NotReady(f"night {index} of {pipeline} has no revision {number}")
    return parse_manifest(objects, (pipeline, index, number), found[0])


def create_manifest(objects: Objects, manifest: Manifest) -> bool:
    """Make a night exist. True: these very bytes stand; False: another manifest has this place, nothing was written.

    Raises DataError if a revision is left out, where the predecessor it names is no manifest of the night before,
    and where a blob it names is absent or damaged.
    """
    pipeline, index, revision = manifest.pipeline, manifest.period, manifest.revision
    if revision > 1 and objects.read(manifest_key(pipeline, index, revision - 1)) is None:
        raise DataError(f"revision {revision} of night {index} of {pipeline} must wait for revision {revision - 1}")
    _refuse_damaged_blobs(objects, manifest)
    _register(objects, manifest)
    key, data = manifest_key(pipeline, index, revision), seal(manifest.data)
    if objects.create(key, data):
        return True
    found = objects.read(key)  # an earlier attempt of ours may have had its effect unseen
    return found is not None and found[0] == data


def _register(objects: Objects, manifest: Manifest) -> None:
    """Name the night's chain in the record of pipelines, so that it is found without a listing."""
    known = pipelines.first_nights(objects, manifest.pipeline) or ()
    if manifest.previous is None and manifest.period not in known:
        pipelines.register_pipeline(objects, manifest.pipeline, manifest.period)
    elif not any(root <= manifest.period for root in known):  # an older release began the chain
        first = manifest.period
        while first > 0 and any(_revisions(objects, manifest.pipeline, first - 1)):
            first -= 1
        pipelines.register_pipeline(objects, manifest.pipeline, first)


def _refuse_damaged_blobs(objects: Objects, manifest: Manifest) -> None:
    """What the predecessor promises was checked when it was published, and is never swept: only what is new is read."""
    pipeline, index = manifest.pipeline, manifest.period
    promised: tuple[str, ...] = ()
    if manifest.previous is not None:
        try:
            promised = blobs_of(manifest_by_hash(objects, pipeline, manifest.previous, index - 1))
        except LookupError as error:
            raise DataError(f"night {index} of {pipeline} names a predecessor that is not there: {error}") from error
    if problems := blob_damage(objects, sorted({*blobs_of(manifest)} - {*promised})):
        raise DataError(f"night {index} of {pipeline} cannot be recorded, run it again: {'; '.join(problems)}")


def predecessor(objects: Objects, pipeline: str, index: int, root: int) -> Manifest | None:
    """The manifest that night `index` builds on; None at the root. Raises NotReady with the backfill it takes."""
    if index == root:
        return None
    if index < root:
        raise NotReady(f"night {index} of {pipeline} lies before the root {root}; there is nothing it could build on")
    try:
        found = verified_manifest(objects, pipeline, index - 1)
    except ValueError as error:
        raise NotReady(f"{error}. {backfill_advice(pipeline, index - 1, index, 'missing')}") from error
    if found is None:
        start = _first_missing(objects, pipeline, index - 1, root)
        raise NotReady(
            f"night {index - 1} of {pipeline} is missing. {backfill_advice(pipeline, start, index, 'missing')}"
        )
    if found.outcome == "blocked":
        reason = f"night {index - 1} ({found.name}) of {pipeline} is blocked: {found.reason[:300]}"
        raise NotReady(
            f"{reason}. Correct its data or override it, then: {backfill_advice(pipeline, index - 1, index, 'failed')}"
        )
    if (found.previous is None) != (index - 1 == root):
        reason = f"night {index - 1} of {pipeline} belongs to a chain with another root than {root}"
        raise NotReady(f"{reason}. {backfill_advice(pipeline, root, index, 'all')}")
    return found


def backfill_advice(pipeline: str, start: int, end: int, what: str) -> str:
    """The sentence that tells an operator which backfill mends the chain."""
    return f"To mend it: nightloop backfill {as_given(pipeline)} --start {start} --end {end} --what {what}"


def blobs_of(manifest: Manifest) -> tuple[str, ...]:
    """Names of all blobs that a manifest promises, each once, in order."""
    kept = list(manifest.checkpoints.values())
    kept += [one.checkpoint for one in (manifest.served, manifest.champion) if one]
    names = [manifest.vocabulary] if manifest.vocabulary else []
    names += [one.blob for one in manifest.validated] + [one.blob for one in manifest.scores.values()]
    return tuple(sorted({*names, *(k.weights for k in kept), *(k.memory for k in kept)}))


def verify_blobs(objects: Objects, manifest: Manifest) -> tuple[str, ...]:
    """Everything that is wrong with the blobs of a manifest; empty: all are there with the right hash."""
    return tuple(f"{manifest.name}: {problem}" for problem in blob_damage(objects, blobs_of(manifest)))


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
    """Sealed bytes of revision 1, 2, ...: read until there is none, for a listing may lag behind."""
    revision = 1
    while (found := objects.read(manifest_key(pipeline, index, revision))) is not None:
        yield found[0]
        revision += 1


def _read_or_none(objects: Objects, place: tuple[str, int, int]) -> Manifest | None:
    found = objects.read(manifest_key(*place))
    try:
        return parse_manifest(objects, place, found[0]) if found else None
    except ValueError:
        return None


def _first_missing(objects: Objects, pipeline: str, index: int, root: int) -> int:
    while index > root and not any(_revisions(objects, pipeline, index - 1)):
        index -= 1
    return index


def parse_manifest(objects: Objects, place: tuple[str, int, int], sealed: bytes) -> Manifest:
    """The manifest at this pipeline, night and revision, read again before it is called damaged (ValueError)."""
    return read_parsed_bytes(objects, manifest_key(*place), sealed, lambda data: _parse_sealed(*place, data))


def _format(data: bytes) -> object:
    """The format that a manifest says it has; None if it says none."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found.get("format") if isinstance(found, dict) else None


def _parse_sealed(pipeline: str, index: int, revision: int, sealed: bytes) -> Manifest:
    key = manifest_key(pipeline, index, revision)
    data = unseal(key, sealed)
    if (found := _format(data)) not in (FORMAT, None):
        raise DataError(
            f"{key} has format {found}, and this nightloop reads format {FORMAT}: use the release that wrote this store, or begin "
            "with an empty one"
        )
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise DataError(f"{key} is no manifest of a format that this nightloop reads: {error}") from error
    if manifest.data != data or (manifest.pipeline, manifest.period, manifest.revision) != (pipeline, index, revision):
        named = f"night {manifest.period}, revision {manifest.revision} of {manifest.pipeline}"
        raise DataError(f"{key} holds the manifest of {named}: it was swapped or written by hand")
    return manifest
