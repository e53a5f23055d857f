"""Pipeline lock: one writer a pipeline, by a lease in the store that is renewed while the run is alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nightloop.tasks.lake.periods import period
from nightloop.tasks.objects.clock import store_time
from nightloop.tasks.objects.lease import (
    SWEEP,
    Lease,
    hold_lease,
    keep_lease,
    lease_key,
    lease_words,
    take_lease,
    wait_for_lease,
)
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.pipelines import first_nights
from nightloop.tasks.orchestration import run
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import hide_secrets
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import keep_open, open_lake, open_store

LARGEST_SKEW = 30.0  # seconds between this machine's clock and the store's


@contextmanager
def hold_pipeline_lock(plan: Plan) -> Iterator[None]:
    """Hold the pipeline's lease, and keep its lake open. The lease of a run that was killed is waited for until it expires.

    Raises ConflictError naming the other writer if one is alive.
    """
    with _hold_lease(plan, wait_for_lease) as busy:
        if busy:
            raise ConflictError(
                f"{plan.pipeline} is being written: {busy}. Nothing was changed. Wait until it ends; if that run is dead, "
                "until its lease has ended"
            )
        yield


@contextmanager
def try_pipeline_lock(plan: Plan) -> Iterator[str]:
    """As `hold_pipeline_lock`, without waiting. If another run has the lease the value names it, and nothing is held."""
    with _hold_lease(plan, take_lease) as busy:
        yield busy


@contextmanager
def _hold_lease(plan: Plan, take: Callable[[Objects, str, str, float, float], Lease | None]) -> Iterator[str]:
    """Hold the lease that `take` returns. If there is none, the value names the run that has it."""
    objects, holder, seconds = open_store(), run().id, Settings().lease_seconds
    now = store_clock(objects)
    _refuse_lost_record(objects, plan)
    key = lease_key(plan.pipeline)
    with hold_lease(objects, key, holder, lambda: take(objects, plan.pipeline, holder, now, seconds)) as lease:
        if lease is None:
            later = store_clock(objects)
            other = lease_words(objects, key, later, holder) or lease_words(objects, SWEEP, later, holder)
            yield other or "another run was faster"
            return
        with hide_secrets(), keep_lease(objects, lease, lease.expires - seconds, seconds), keep_open(plan, objects):
            yield ""


def _refuse_lost_record(objects: Objects, plan: Plan) -> None:
    """Raise ConflictError if the store has no record of a pipeline whose lake holds logs: its history would be lost."""
    if first_nights(objects, plan.pipeline) is not None:
        return
    own, served = f"pipelines/{plan.pipeline}/", f"pipelines/{plan.pipeline}/serving/"
    if any(
        not key.startswith(served) for key in objects.keys(own)
    ):  # a service that still runs writes to an emptied store
        return
    with open_lake(plan) as warehouse:
        landed = sorted(warehouse.latest())
    if landed:
        settings = Settings()
        raise ConflictError(
            f"the store {settings.store_place} has no record of {plan.pipeline}, and the lake holds {len(landed)} periods of it, up "
            f"to {period(plan.periods, landed[-1]).name}. Is a disk not mounted, is NIGHTLOOP_STORE another one? Nothing was "
            "changed. If the record cannot be restored, give the pipeline a new name and backfill it"
        )


def store_clock(objects: Objects) -> float:
    """The time of the store's clock, which all writers of the store share, in seconds since 1970.

    Raises ConflictError if this machine's clock differs from it by more than `LARGEST_SKEW`.
    """
    before = time.time()
    now = store_time(objects)
    after = time.time()
    skew = max(before - now, now - after)
    if skew > LARGEST_SKEW:
        raise ConflictError(
            f"the clock of this machine says {_words(after)}, the store's says {_words(now)}: they differ by {skew:.0f} s, "
            f"more than {LARGEST_SKEW:.0f} s. Correct the clock that is wrong (NTP); nothing was changed"
        )
    return now


def _words(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
