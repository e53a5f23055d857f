"""Ray: a cluster by its address."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

from nightloop.tasks.clusters.connection import Connection
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import require_package


def open_ray(address: str, do_work: Callable[[Any], Any]) -> Connection:
    """The cluster at `ray://<address>`. A worker calls `do_work`. Raises PlanError if it does not answer."""
    require_package("a Ray cluster", "ray", "ray")
    import ray

    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PlanError(f"no Ray cluster answers at {address}: {error}") from None
    remote = ray.remote(max_retries=1)(do_work)

    def send(work: Any) -> Any:
        try:
            return ray.get(remote.remote(work))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.RayActorError) as error:
            raise BrokenExecutor(f"the workers of {address} died while they computed: {error}") from None

    return Connection(int(ray.cluster_resources().get("CPU", 1)), send, ray.shutdown)
