"""Writer: one writer a pipeline, by a lease in the store that a sign of life keeps up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.open import keep_lake, open_store
from tasks.plan.outward import guarded
from tasks.plan.plan import Plan
from tasks.plan.settings import Settings
from tasks.store.lease import Lease, held, key_of, release, renew, take

log = logging.getLogger(__name__)


@contextmanager
def writing(plan: Plan, holder: str) -> Iterator[None]:
    """Hold the pipeline's lease, and its lake open. Raises RuntimeError naming the other writer where one is alive."""
    objects, seconds = open_store(), Settings().lease_seconds
    lease = take(objects, plan.pipeline, holder, time.time(), seconds)
    if lease is None:
        other = held(objects, key_of(plan.pipeline), time.time(), holder)
        who = f"the run {other.holder}" if other else "a sweep of the store"
        raise RuntimeError(
            f"{plan.pipeline} is being written by {who}; nothing was changed. Wait until it ends, or {seconds} s "
            "after it last showed a sign of life."
        )
    ended = threading.Event()
    keeper = threading.Thread(target=_keep_up, args=(lease, ended, seconds), daemon=True)
    keeper.start()
    try:
        with guarded(), keep_lake(plan):
            yield
    finally:
        ended.set()
        keeper.join()
        release(objects, lease)


def _keep_up(lease: Lease, ended: threading.Event, seconds: int) -> None:
    objects = open_store()
    while not ended.wait(seconds / 3):
        renewed = renew(objects, lease, time.time(), seconds)
        if renewed is None:
            log.error("the lease of %s was lost to another writer; this run's manifest will be refused", lease.key)
            return
        lease = renewed
