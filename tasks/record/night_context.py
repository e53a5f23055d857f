"""Night context: references to what one night reads, and the chain behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from nightloop.tasks.objects.copies import WithCopies, with_copies
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import NotReady
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import ChampionRef, Manifest, PeriodLogs, PeriodValidation
from nightloop.tasks.record.manifest_store import manifest_by_hash


@dataclass(frozen=True)
class Night:
    """A period whose logs passed validation, the predecessor it builds on, and the champion that served it."""

    plan: Plan
    period: int
    name: str
    revision: int
    previous: Manifest | None  # None: the root
    logs: tuple[PeriodLogs, ...]
    validated: tuple[PeriodValidation, ...]
    vocabulary: str  # blob
    champion: ChampionRef | None  # as of this night, before it
    pinned: str  # why the gate may not move the champion; empty: it may
    entry: int  # number of the newest entry of the promotion log when the night began; 0: none
    last_act: int = 0  # number of the newest of them that a person made; 0: none
    catalog: str = (
        ""  # identity of the catalog that the logs were validated in; a worker that has another one is refused
    )


def walk_back(objects: Objects, newest: Manifest | None) -> Iterator[Manifest]:
    """The chain up to and including `newest`, newest first, along the hashes of the predecessors."""
    link = newest
    while link is not None:
        yield link
        if link.previous is None:
            return
        link = _manifest(objects, link.pipeline, link.previous, link.period - 1)


@lru_cache(maxsize=4096)  # a manifest never changes; every task of a night walks the chain, and a store may be slow
def _manifest(objects: Objects, pipeline: str, hash: str, index: int) -> Manifest:
    try:
        return manifest_by_hash(_copies(objects, pipeline), pipeline, hash, index)
    except NotReady:  # the copies are of another state of the store, which went on otherwise since
        return manifest_by_hash(objects, pipeline, hash, index)


@lru_cache(maxsize=4)
def _copies(objects: Objects, pipeline: str) -> WithCopies:
    return with_copies(objects, pipeline, by_hash=True)


def history(objects: Objects, night: Night, lookback: int) -> list[PeriodLogs]:
    """Logs of the newest `lookback` periods, this night's included, oldest first.

    Skipped nights have no logs but count as periods: a window is a length of time, not a number of complete nights.
    """
    first = night.period - lookback + 1
    logs_read = list(night.logs)
    for link in walk_back(objects, night.previous):
        if link.period < first and link.previous is not None:
            break
        if link.outcome == "complete":
            logs_read += link.logs
    return sorted((logs for logs in logs_read if logs.period >= first), key=lambda logs: logs.period)
