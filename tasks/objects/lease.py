"""Lease: one writer per pipeline, by a conditional object with an expiry; who dies is presumed dead when it has passed.

A lease keeps two runs from doing the same work. It is not what keeps the record right: manifests and log entries are
created once, whoever holds what.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.checksum import seal, unseal
from nightloop.tasks.objects.keys import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed, read_parsed_bytes
from nightloop.tasks.plan.errors import ConflictError, DataError
from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.plan.plan import canonical_json

log = logging.getLogger(__name__)

SWEEP = "sweep/lease.json"
LONGEST = 86_400.0  # seconds; no setting makes a lease last longer than a day
Alive = Callable[[], None]  # raises ConflictError if the lease was lost


class Lease(Frozen):
    """Who writes, and until when (seconds since 1970, by the clock of whoever passed it in)."""

    key: str
    holder: str  # unique to a run
    expires: float


def take_lease(objects: Objects, pipeline: str, holder: str, now: float, seconds: float) -> Lease | None:
    """The pipeline's lease, or None while another holder's has not expired or a sweep is under way."""
    pipelines.register_pipeline(objects, pipeline)  # a sweep asks the known pipelines whether a night is under way
    lease = take_key(objects, lease_key(pipeline), holder, now, seconds)
    if lease is not None and other_holder(objects, SWEEP, now, holder) is not None:
        release_lease(objects, lease)
        return None
    return lease


def take_key(objects: Objects, key: str, holder: str, now: float, seconds: float) -> Lease | None:
    """As `take`, for any key. The same holder may take its own lease again."""
    if not holder or seconds <= 0:
        raise DataError(f"a lease needs a holder and a positive number of seconds, not {holder!r} and {seconds}")
    wanted = Lease(key=key, holder=holder, expires=now + seconds)
    found = objects.read(key)
    if found is None:
        return wanted if objects.create(key, _bytes(wanted)) else None
    there = read_parsed_bytes(objects, key, found[0], lambda sealed: _parse(key, sealed))
    if there.holder != holder and there.expires > now:
        return None
    return wanted if objects.swap(key, _bytes(wanted), found[1]) else None


def renew_lease(objects: Objects, lease: Lease, now: float, seconds: float) -> Lease | None:
    """The lease with a later expiry, or None where it was lost: stop writing."""
    found = _own_tag(objects, lease)
    if found is None:
        return None
    later = lease.model_copy(update={"expires": now + seconds})
    return later if objects.swap(lease.key, _bytes(later), found) else None


def release_lease(objects: Objects, lease: Lease) -> bool:
    """Let go, so that the next need not wait for the expiry; False where the lease was lost before, or the store fails.

    What the lease was for is done by then: a failure here is a warning, and the next run waits until the lease has ended.
    """
    try:
        found = _own_tag(objects, lease)
        free = lease.model_copy(update={"holder": "", "expires": 0.0})
        return found is not None and objects.swap(lease.key, _bytes(free), found)
    except (OSError, ValueError) as error:
        log.warning("the lease of %s was not given back, it ends by itself: %s", lease.key, error)
        return False


def _own_tag(objects: Objects, lease: Lease) -> str | None:
    """The tag of the lease's present state; None where another run has it."""
    found = objects.read(lease.key)
    if found is None:
        return None
    there = read_parsed_bytes(objects, lease.key, found[0], lambda sealed: _parse(lease.key, sealed))
    return found[1] if there.holder == lease.holder else None


def other_holder(objects: Objects, key: str, now: float, holder: str = "") -> Lease | None:
    """The lease of this key that somebody other than `holder` has, or None where it is free or expired."""
    there = read_parsed(objects, key, lambda sealed: _parse(key, sealed))
    return there if there and there.expires > now and there.holder != holder else None


def lease_words(objects: Objects, key: str, now: float, holder: str = "") -> str:
    """Who holds this lease, and when it ends unless its holder renews it; empty where nobody but `holder` does."""
    other = other_holder(objects, key, now, holder)
    if other is None:
        return ""
    who = "a sweep of the store" if key == SWEEP else key.split("/")[1]
    left = other.expires - now
    wrong = (
        f". No lease is that long, a clock was wrong: if no run is under way, remove {key}" if left > LONGEST else ""
    )
    return f"{who} is held by the run {other.holder}; its lease ends in {left:.0f} s unless that run renews it{wrong}"


@contextmanager
def keep_lease(objects: Objects, lease: Lease, now: float, seconds: float) -> Iterator[Alive]:
    """Renew a lease until the block ends. `now`: the time at its start, by the clock that it was taken with.

    The value raises ConflictError if the lease was lost: call it before what must not be done without it.
    """
    began, ended, lost = _ticks(), threading.Event(), threading.Event()

    def renew_on() -> None:
        mine = lease
        while not ended.wait(seconds / 3):
            try:
                renewed = renew_lease(objects, mine, now + _ticks() - began, seconds)
            except (OSError, ValueError) as error:  # the next attempt may find the store again
                log.warning("the lease of %s was not renewed: %s", lease.key, error)
                continue
            if renewed is None:
                log.error("the lease of %s was lost to another run; what this run writes now is refused", lease.key)
                lost.set()
                return
            mine = renewed

    def alive() -> None:
        if lost.is_set():
            raise ConflictError(f"the lease of {lease.key} was lost to another run; this run stops. Run it again")

    thread = threading.Thread(target=renew_on, daemon=True, name=f"lease {lease.key}")
    thread.start()
    try:
        yield alive
    finally:
        ended.set()
        thread.join()


def _ticks() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def lease_key(pipeline: str) -> str:
    """Where a pipeline's lease is kept."""
    return f"pipelines/{checked_pipeline(pipeline)}/lease.json"


def _parse(key: str, sealed: bytes) -> Lease:
    try:
        lease = Lease.model_validate_json(unseal(key, sealed))
    except ValidationError as error:
        raise DataError(f"{key} is no lease that this nightloop reads: {error}") from error
    except ValueError as error:
        raise DataError(f"{error}. When no run is under way, remove it") from error
    return lease


def _bytes(lease: Lease) -> bytes:
    return seal(canonical_json(lease.model_dump(mode="json")))
