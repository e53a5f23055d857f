"""Lease: one writer per pipeline, by an object with conditional writes and an expiry. Expired leases are free.

A lease prevents two runs from doing the same work. The correctness of the record does not depend on it: manifests and log
entries are created once, whether or not a lease is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed, read_parsed_bytes
from nightloop.tasks.objects.sealed_record import seal_record, unseal_record
from nightloop.tasks.plan.errors import ConflictError, DataError
from nightloop.tasks.plan.frozen import Frozen

log = logging.getLogger(__name__)

SWEEP = "sweep/lease.json"
LONGEST = 86_400.0  # seconds; no setting makes a lease last longer than a day
LOOK = 1.0  # seconds between two looks at a lease that is waited for
Alive = Callable[[], None]  # raises ConflictError if the lease was lost


class Lease(Frozen):
    """The run that writes, and until when (seconds since 1970, by the caller's clock)."""

    key: str
    holder: str  # unique to a run
    expires: float


def take_lease(objects: Objects, pipeline: str, holder: str, now: float, seconds: float) -> Lease | None:
    """The pipeline's lease, or None while another holder's has not expired or a sweep is running."""
    pipelines.register_pipeline(objects, pipeline)  # a sweep checks the leases of the recorded pipelines
    lease = take_key(objects, lease_key(pipeline), holder, now, seconds)
    if lease is not None and other_holder(objects, SWEEP, now, holder) is not None:
        release_lease(objects, lease)
        return None
    return lease


def wait_for_lease(objects: Objects, pipeline: str, holder: str, now: float, seconds: float) -> Lease | None:
    """As `take_lease`, but wait until the lease of another run is free or has expired.

    None as soon as that run shows that it is alive: it renews its lease, or a third run takes it. A run that was killed
    does not renew its lease, so the wait ends with the lease.
    """
    began, first = _ticks(), None
    while True:
        present = now + _ticks() - began
        lease = take_lease(objects, pipeline, holder, present, seconds)
        if lease is not None:
            return lease
        other = other_holder(objects, lease_key(pipeline), present, holder) or other_holder(
            objects, SWEEP, present, holder
        )
        if other is not None and (other.expires - present > LONGEST or other != (first or other)):
            return None
        if first is None and other is not None:
            first = other
            log.warning("%s. This run waits for it", lease_words(objects, other.key, present, holder))
        time.sleep(LOOK)


def take_key(objects: Objects, key: str, holder: str, now: float, seconds: float) -> Lease | None:
    """As `take_lease`, for any key. The same holder may take its own lease again."""
    if not holder or seconds <= 0:
        raise DataError(f"a lease needs a holder and a positive number of seconds, not {holder!r} and {seconds}")
    wanted = Lease(key=key, holder=holder, expires=now + seconds)
    stored = objects.read(key)
    if stored is None:
        return wanted if objects.create(key, seal_record(wanted)) else None
    present = read_parsed_bytes(objects, key, stored[0], lambda sealed: _parse(key, sealed))
    if present.holder != holder and present.expires > now:
        return None
    return wanted if objects.swap(key, seal_record(wanted), stored[1]) else None


@contextmanager
def hold_lease(objects: Objects, key: str, holder: str, take: Callable[[], Lease | None]) -> Iterator[Lease | None]:
    """The holder's lease of this key, as `take` returns it, until the block ends; then it is free.

    It is also free if Ctrl-C or a cancellation came when the store had it and `take` had not returned yet, or while it was
    being released.
    """
    failed, held = False, Lease(key=key, holder=holder, expires=0.0)
    try:
        try:
            lease = take()
        except Exception:
            failed = True  # the error says what is wrong with the store or with the lease
            raise
        yield lease
    finally:
        if not failed:
            try:
                release_lease(objects, held)
            except BaseException:  # interrupted
                release_lease(objects, held)
                raise


def renew_lease(objects: Objects, lease: Lease, now: float, seconds: float) -> Lease | None:
    """The lease with a later expiry, or None if it was lost: then the caller must stop writing."""
    tag = _own_tag(objects, lease)
    if tag is None:
        return None
    later = lease.model_copy(update={"expires": now + seconds})
    return later if objects.swap(lease.key, seal_record(later), tag) else None


def release_lease(objects: Objects, lease: Lease) -> bool:
    """Release the lease, so that the next run need not wait for its expiry. False if it was lost, or the store fails.

    The work is done by then, so a failure is only a warning: the next run waits until the lease has expired.
    """
    try:
        tag = _own_tag(objects, lease)
        free = lease.model_copy(update={"holder": "", "expires": 0.0})
        return tag is not None and objects.swap(lease.key, seal_record(free), tag)
    except (OSError, ValueError) as error:
        log.warning("the lease of %s was not released; it expires by itself: %s", lease.key, error)
        return False


def _own_tag(objects: Objects, lease: Lease) -> str | None:
    """The tag of the lease's present state; None if another run has it."""
    stored = objects.read(lease.key)
    if stored is None:
        return None
    present = read_parsed_bytes(objects, lease.key, stored[0], lambda sealed: _parse(lease.key, sealed))
    return stored[1] if present.holder == lease.holder else None


def other_holder(objects: Objects, key: str, now: float, holder: str = "") -> Lease | None:
    """The lease of this key that a run other than `holder` has, or None if it is free or expired."""
    present = read_parsed(objects, key, lambda sealed: _parse(key, sealed))
    return present if present and present.expires > now and present.holder != holder else None


def lease_words(objects: Objects, key: str, now: float, holder: str = "") -> str:
    """Which run holds this lease, and when it ends unless renewed; empty if no run but `holder` holds it."""
    other = other_holder(objects, key, now, holder)
    if other is None:
        return ""
    subject = "a sweep of the store" if key == SWEEP else key.split("/")[1]
    left = other.expires - now
    wrong = f". No lease is that long, a clock was wrong: if no run is active, remove {key}" if left > LONGEST else ""
    return (
        f"{subject} is held by the run {other.holder}; its lease ends in {left:.0f} s unless that run renews it{wrong}"
    )


@contextmanager
def keep_lease(objects: Objects, lease: Lease, now: float, seconds: float) -> Iterator[Alive]:
    """Renew a lease until the block ends. `now`: the time when it was taken, by the same clock.

    The value is a function that raises ConflictError if the lease was lost. Call it before each action that needs the
    lease.
    """
    began, ended, lost = _ticks(), threading.Event(), threading.Event()

    def renew_on() -> None:
        held = lease
        while not ended.wait(seconds / 3):
            try:
                renewed = renew_lease(objects, held, now + _ticks() - began, seconds)
            except (OSError, ValueError) as error:  # the next attempt may find the store again
                log.warning("the lease of %s was not renewed: %s", lease.key, error)
                continue
            if renewed is None:
                log.error("the lease of %s was lost to another run; what this run writes now is refused", lease.key)
                lost.set()
                return
            held = renewed

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
    """Seconds of a clock that is never set, and that counts while the machine is suspended."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def lease_key(pipeline: str) -> str:
    """The key of a pipeline's lease."""
    return f"pipelines/{checked_pipeline(pipeline)}/lease.json"


def _parse(key: str, sealed: bytes) -> Lease:
    try:
        return unseal_record(Lease, key, sealed, "a lease")
    except ValueError as error:
        raise DataError(f"{error}. If no run is active, remove it") from error
