"""Sweep: remove what crashed runs left, and nothing that a manifest, the promotion log or unfinished work names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tasks.store import lease, manifests, registry
from tasks.store.objects import Objects

HASH = re.compile(rb"[0-9a-f]{64}")
Work = Literal["kept", "dropped"]


@dataclass(frozen=True)
class Swept:
    """What a sweep removed, and who kept it from sweeping (then nothing was removed)."""

    removed: tuple[str, ...]
    busy: str = ""


def unneeded(objects: Objects, work: Work = "kept") -> tuple[str, ...]:
    """Keys that nothing needs, in the order in which they may be removed: records before the blobs that they name.

    Every manifest that was ever published stays, superseded revisions too, and so does every blob it names; so do log,
    pointer, overrides and leases. With `dropped`, the work of nights that never came to a manifest is removed as well:
    such a night starts anew. Raises ValueError where a current manifest or a log entry is damaged: mend it first.
    """
    keys = list(objects.keys(""))
    promised = _named(objects, (k for k in keys if re.fullmatch(r"pipelines/[^/]+/(nights|log)/.+", k)))
    promised |= _chained(objects, keys)
    steps = {k: _named(objects, [k]) for k in keys if re.fullmatch(r"pipelines/[^/]+/work/.+", k)}
    blobs = {k.removeprefix("blobs/") for k in keys if k.startswith("blobs/")}
    dropped = {k for k, named in steps.items() if (named & blobs) - promised} if work == "dropped" else set()
    for step, named in steps.items():
        promised |= named if step not in dropped else set()
    probes = [k for k in keys if k.startswith("probe/")]
    return (*sorted(dropped), *probes, *(f"blobs/{sha}" for sha in sorted(blobs - promised)))


def sweep(objects: Objects, holder: str, now: float, seconds: float = 3600, work: Work = "kept") -> Swept:
    """Remove what is unneeded, unless a night is under way in any pipeline; no night can begin meanwhile.

    A night and a sweep each take their own lease first and then look for the other's: at least one sees the other.
    A run that was frozen past the end of its lease finds out when it publishes: its blobs are looked at before that.
    """
    mine = lease.take_key(objects, lease.SWEEP, holder, now, seconds)
    if mine is None:
        return Swept((), "another sweep is under way")
    try:
        for key in objects.keys("pipelines/"):
            other = lease.held(objects, key, now, holder) if key.endswith("/lease.json") else None
            if other is not None:
                return Swept((), f"{key} is held by {other.holder}")
        keys = unneeded(objects, work)
        for key in keys:
            objects.remove(key)
        return Swept(keys)
    finally:
        lease.release(objects, mine)


def _named(objects: Objects, keys: Iterable[str]) -> set[str]:
    """Every hash that these records mention, damaged ones too: more than the blobs they need, never less."""
    found: set[str] = set()
    for key in keys:
        data = objects.read(key)
        found |= {sha.decode() for sha in HASH.findall(data[0])} if data else set()
    return found


def _chained(objects: Objects, keys: Iterable[str]) -> set[str]:
    """Blobs of what reading (not listing) finds: a listing that lags must not cost a file. ValueError: damage."""
    found: set[str] = set()
    nights = [re.fullmatch(r"pipelines/([^/]+)/nights/(\d{6})/\d{4}\.json", key) for key in keys]
    last: dict[str, int] = {}
    for night in nights:
        if night:
            last[night[1]] = max(last.get(night[1], 0), int(night[2]))
    for pipeline, index in last.items():
        if wrong := manifests.damaged(objects, pipeline, 0, index + 1):
            raise ValueError(f"nothing was swept: {'; '.join(wrong.values())}. Run these nights again first")
        for manifest in manifests.chain(objects, pipeline, 0, index + 1).values():
            found |= set(manifests.blobs_of(manifest))
        for entry in registry.log(objects, pipeline):
            found |= {entry.checkpoint.weights, entry.checkpoint.memory, entry.vocabulary}
    return found
