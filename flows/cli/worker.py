"""Worker: run what a Prefect server schedules on this machine, with a home of its own, until Ctrl-C.

The store and the lake are all that machines share. So before it starts, it checks that this machine sees those which the
deployments were made for, and that it has their release of nightloop.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from typing import Any

from nightloop.flows.cli.cut_off import POOL, resume_all_lost_runs, worker_name
from nightloop.flows.cli.login import log_in, login_directory
from nightloop.flows.cli.prefect_health import check_versions
from nightloop.flows.cli.processes import end_all, only_one
from nightloop.flows.cli.supervise import (
    RestartedProcess,
    end_processes,
    ignore_interrupts,
    keep_running,
    start_worker,
    worker_environment,
)
from nightloop.flows.pipeline_lock import store_clock
from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.objects import open_for_reading
from nightloop.tasks.objects.store_id import read_store_id
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store
from nightloop.tasks.resources import credentials, open_store, try_lake

STORE_ID = "NIGHTLOOP_STORE_ID"
PAGE = 100  # deployments in one answer
ADVICE = (
    "Set NIGHTLOOP_STORE, NIGHTLOOP_DATA, NIGHTLOOP_CATALOG, NIGHTLOOP_S3_ENDPOINT and the credentials of this machine as on "
    "the machine that deployed"
)


def worker(health_port: int = 0) -> None:
    """Check this machine, resume the runs that it lost, and run a worker of the pool until Ctrl-C.

    `health_port`: answer health checks at this port of all addresses; 0: do not. Raises ConflictError that says what differs
    from the machine that deployed, or that a worker of this home runs already.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise ConflictError(
            "worker: PREFECT_API_URL is not set, so there is no server to work for. Export the address of yours, such as "
            "http://prefect.example:4200/api, and its login as PREFECT_API_AUTH_STRING; `nightloop up` starts a server and a worker"
        )
    log_in()
    with only_one(url):
        end_all(login_directory().parent)  # what a killed worker of this home left; its runs are resumed below
        sys.stderr.write(check_worker() + "\n")
        resume_all_lost_runs()
        environment = worker_environment()
        options = ["--with-healthcheck"] if health_port else []
        if health_port:
            environment |= {
                "PREFECT_WORKER_WEBSERVER_HOST": "0.0.0.0",
                "PREFECT_WORKER_WEBSERVER_PORT": str(health_port),
            }
        processes: list[RestartedProcess] = []
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
        try:
            processes.append(start_worker(environment, *options))
            keep_running((), processes, environment)
        except KeyboardInterrupt:
            sys.stderr.write("nightloop is shutting down\n")
        finally:
            ignore_interrupts()
            end_processes((), processes, environment)


def check_worker() -> str:
    """Check that this machine may run what is deployed. Returns a line that says for what it works.

    Raises ConflictError that lists everything that is wrong; nothing was written then.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        wrong = list(check_versions(client))
        deployments = _deployments(client)
    wrong += _other_releases(deployments) + _other_stores(deployments)
    if not wrong:
        objects = open_store()
        store_clock(objects)
        wrong += [words for name in sorted(pipelines.readable_record(objects).roots) for words in _other_lake(name)]
    if wrong:
        raise ConflictError(f"this machine cannot work for {os.environ['PREFECT_API_URL']}: {'; '.join(wrong)}")
    names = sorted({tag for one in deployments for tag in one.tags})
    return (
        f"worker {worker_name()} of {os.environ['PREFECT_API_URL']}, store {Settings().store_place}: "
        f"{', '.join(names) or 'no pipeline is deployed yet: nightloop deploy PLAN'}"
    )


def _deployments(client: Any) -> list[Any]:
    """All deployments of the pool. The server answers with a page of them."""
    from prefect.client.schemas.filters import WorkPoolFilter

    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    found: list[Any] = []
    while page := client.read_deployments(work_pool_filter=pool, limit=PAGE, offset=len(found)):
        found += page
    return found


def _other_releases(deployments: list[Any]) -> list[str]:
    """Deployments of another release of nightloop, in a sentence."""
    ours = version("nightloop")
    theirs = sorted({one.version for one in deployments if one.version} - {ours})
    return (
        [f"release {', '.join(theirs)} deployed, and this is {ours}: install that, or deploy again"] if theirs else []
    )


def _other_stores(deployments: list[Any]) -> list[str]:
    """Deployments that were made for another store than this machine sees, in a sentence. Nothing is written to the store."""
    wanted = {
        str(one.name): str(((one.job_variables or {}).get("env") or {}).get(STORE_ID) or "") for one in deployments
    }
    settings = Settings()
    seen = read_store_id(open_for_reading(settings, credentials(settings))) if any(wanted.values()) else ""
    others = sorted(name for name, store_id in wanted.items() if store_id not in ("", seen))
    if not others:
        return []
    return [
        f"{', '.join(others[:3])}{' and more' if len(others) > 3 else ''} {'was' if len(others) == 1 else 'were'} deployed for the store "
        f"with the id {wanted[others[0]]}, and {settings.store_place} has {f'the id {seen}' if seen else 'no id'}. {ADVICE}"
    ]


def _other_lake(pipeline: str) -> list[str]:
    """In a sentence: the lake of this machine lacks the logs of the pipeline's first night."""
    objects = open_store()
    for root in pipelines.first_nights(objects, pipeline) or ():
        night = manifest_store.current_manifest(objects, pipeline, root)
        if night is None:
            continue
        landed = try_lake(pipeline)
        if missing := sorted({logs.period for logs in night.logs} - {*landed}):
            return [
                f"the lake that this machine sees has no logs of period {missing[0]} of {pipeline}, which {night.name} was trained on. "
                f"{ADVICE}"
            ]
    return []
