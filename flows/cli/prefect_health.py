"""Prefect health: check the Prefect server, its worker, its schedules and its runs, for `nightloop doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from nightloop.flows.cli.cut_off import POOL
from nightloop.flows.cli.dead_runs import DEAD, NAMES
from nightloop.flows.cli.login import address_of_up, log_in, prefect_error
from nightloop.flows.pipeline_lock import store_clock
from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.lease import lease_key, other_holder
from nightloop.tasks.plan.errors import ConflictError, error_message
from nightloop.tasks.plan.load import STORED
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import open_store, read

AWAKE = timedelta(seconds=90)  # a worker sends a heartbeat every 30 s
PLANNED = timedelta(minutes=5)  # the server plans runs once a minute
HELD = ("nightly", "backfill")  # flows whose runs hold the lease of their pipeline


def check_prefect_server() -> str:
    """The state of the server, or that none is used. Raises ConflictError that lists everything that is wrong."""
    url = os.environ.get("PREFECT_API_URL") or (f"{address_of_up()}/api" if address_of_up() else "")
    if not url:
        return "not used: PREFECT_API_URL is not set, and no `nightloop up` of this home runs"
    before = dict(os.environ)
    os.environ.update({"PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "0"})
    try:
        return _check_server(url)
    except Exception as error:
        if (reported := prefect_error(error)) is not None:
            raise reported from None
        raise
    finally:
        os.environ.clear()
        os.environ.update(before)


def _check_server(url: str) -> str:
    from prefect.client.orchestration import get_client
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    log_in()
    with get_client(sync_client=True) as client:
        if error := client.api_healthcheck():
            raise ConflictError(f"{url} does not answer: {error}")
        wrong = [*check_versions(client), *_check_worker(client), *_find_dead_runs(client)]
        schedules, late = _check_schedules(client)
    if wrong + late:
        raise ConflictError(f"{url}: {'; '.join(wrong + late)}")
    return f"{url} answers, with a worker; {schedules or 'no pipeline is deployed: nightloop deploy PLAN'}"


def check_versions(client: Any) -> Iterator[str]:
    """What is wrong with the release of the server."""
    theirs, ours = client.api_version(), version("prefect")
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        yield f"the server is Prefect {theirs}, this is {ours}: install the same"


def _check_worker(client: Any) -> Iterator[str]:
    """What is wrong with the worker that runs what is scheduled."""
    from prefect.exceptions import ObjectNotFound

    try:
        workers = client.read_workers_for_work_pool(POOL)
    except ObjectNotFound:
        yield f"there is no work pool {POOL}: nightloop deploy PLAN makes it"
        return
    heartbeats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    if not heartbeats or datetime.now(UTC) - max(heartbeats) > AWAKE:
        last = f"the last was seen {max(heartbeats):%Y-%m-%d %H:%M} UTC" if heartbeats else "none was ever seen"
        yield (
            f"no worker of the pool {POOL} is alive ({last}), so nothing that is scheduled runs: nightloop up, or "
            "nightloop worker"
        )


def _find_dead_runs(client: Any) -> Iterator[str]:
    """Runs whose state is running although nothing holds their pipeline's lease, and missing automations that mark them."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.utilities.urls import url_for

    names = [automation.name for automation in client.read_automations()]
    for name in NAMES:
        if name not in names:
            yield f"the automation {name!r} is missing; it marks dead runs: nightloop deploy PLAN makes it"
    states = {"type": {"any_": ["RUNNING", "CANCELLING"]}}
    objects = open_store()
    now, clock = datetime.now(UTC), store_clock(objects)
    leases = [other_holder(objects, lease_key(name), clock) for name in pipelines.readable_record(objects).roots]
    holders = {lease.holder for lease in leases if lease}
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"state": states})):
        began = run.start_time or run.created
        if str(run.name).partition(" ")[0] not in HELD or str(run.id) in holders:
            continue
        if began is not None and now - began > timedelta(seconds=DEAD):
            yield (
                f"the run {run.name!r} is {run.state_name} since {began:%Y-%m-%d %H:%M} UTC, and its process is gone. It is "
                f"marked as crashed or cancelled within three minutes; if not, delete it: {url_for('flow-run', run.id)}"
            )


def _check_schedules(client: Any) -> tuple[str, list[str]]:
    """When each pipeline's next night starts, in words, and what prevents nights from starting."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

    lines: list[str] = []
    wrong: list[str] = []
    nightly = DeploymentFilter.model_validate({"name": {"like_": "-nightly"}})
    for deployment in client.read_deployments(deployment_filter=nightly):
        run_filter = FlowRunFilter.model_validate(
            {"deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        )
        starts = [run.expected_start_time for run in client.read_flow_runs(flow_run_filter=run_filter)]
        due = sorted(start for start in starts if start)
        lines += _find_changed_plan(str((deployment.parameters or {}).get("plan", "")))
        active = [schedule for schedule in deployment.schedules if schedule.active]
        if not active:
            lines.append(f"{deployment.name} has no active schedule")
        elif not due and deployment.updated and datetime.now(UTC) - deployment.updated < PLANNED:
            lines.append(f"{deployment.name} was deployed a moment ago")
        elif not due:
            wrong.append(
                f"{deployment.name} is scheduled, but the server has planned no run of it: is its scheduler alive?"
            )
        elif datetime.now(UTC) - due[0] > timedelta(minutes=15):
            wrong.append(
                f"{deployment.name} was due at {due[0]:%Y-%m-%d %H:%M} UTC and has not started: is a worker alive?"
            )
        else:
            lines.append(f"{deployment.name} starts next at {due[0]:%Y-%m-%d %H:%M} UTC")
    return "; ".join(lines), wrong


def _find_changed_plan(name: str) -> Iterator[str]:
    """The first plan file of the deployed plan's pipeline, if it differs from it. `name`: as the store keeps the plan."""
    if not STORED.fullmatch(name):
        return
    try:
        deployed = read(name)
    except (ValueError, LookupError, OSError) as error:
        yield f"the plan that is deployed, {name}, cannot be read ({error_message(error)}): deploy it again"
        return
    for path in (path for directory in Settings().plan_places for path in sorted(directory.glob("*.yaml"))):
        try:
            plan = read(str(path))
        except (ValueError, LookupError, OSError):
            continue  # the check of the plans names its mistakes
        if plan.pipeline == deployed.pipeline:
            if plan != deployed:
                yield f"{path} differs from the plan that is deployed, {name}: nightloop deploy {path} deploys it"
            return
