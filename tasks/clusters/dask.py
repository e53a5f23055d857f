"""Dask: a cluster by the address of its scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from typing import Any

from nightloop.tasks.clusters.connection import Connection
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import require_package

PATIENCE = 15  # seconds for a cluster to answer
NO_WORKERS = 600  # seconds after which a cluster without workers has failed; one that scales may start some before
LOOK = 10  # seconds between two looks at the workers of a cluster


def open_dask(address: str, do_work: Callable[[Any], Any], security: Any = None) -> Connection:
    """The cluster of the scheduler at an address. A worker calls `do_work`. Raises PlanError if it does not answer.

    `security`: the certificates of the cluster; None: those of Dask's configuration.
    """
    require_package("a Dask cluster", "distributed", "bakeoff-dask")
    from distributed import Client
    from distributed.scheduler import KilledWorker

    try:
        asyncio.run(_greet(address, security))
        client = Client(address, timeout=PATIENCE, security=security)
    except (OSError, TypeError, ValueError) as error:  # TypeError: tls:// without certificates
        raise PlanError(f"no Dask scheduler answers at {address}: {error}") from None

    def count_threads() -> int:
        scheduler: Any = client.scheduler
        return sum(client.sync(scheduler.ncores, callback_timeout=PATIENCE).values())

    def wait_for(future: Any) -> Any:
        last_seen = time.monotonic()
        while True:
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                if future.done():  # at this moment, or with such an error of its own
                    return future.result()
            with suppress(OSError):  # the scheduler is gone; the client tries to reach it again, then cancels the work
                last_seen = time.monotonic() if count_threads() else last_seen
            if time.monotonic() - last_seen > NO_WORKERS:
                raise BrokenExecutor(f"the Dask cluster at {address} has had no worker for {NO_WORKERS} seconds")

    def send(work: Any) -> Any:
        try:
            return wait_for(client.submit(do_work, work, pure=False))
        except KilledWorker as error:
            raise BrokenExecutor(f"the workers of {address} died while they computed: {error}") from None
        except CancelledError:
            raise BrokenExecutor(f"the Dask scheduler at {address} ended, or cancelled the work") from None

    if not (workers := count_threads()):
        client.close()
        raise PlanError(f"the Dask scheduler at {address} has no workers")
    return Connection(workers, send, client.close)


async def _greet(address: str, security: Any) -> None:
    """Connect as a client does. `Client` waits without a limit for a server that accepts the connection and says nothing,
    or that is no scheduler. Raises TimeoutError then."""
    from distributed.comm.core import connect
    from distributed.security import Security

    given = (security or Security()).get_connection_args("client")
    try:
        connection = await asyncio.wait_for(connect(address, timeout=PATIENCE, **given), PATIENCE + 1)
    except TimeoutError:
        raise TimeoutError(
            f"a server there took the connection and did not answer as a scheduler within {PATIENCE} s. Give the address "
            "that `dask scheduler` printed when it started"
        ) from None
    await connection.close()
