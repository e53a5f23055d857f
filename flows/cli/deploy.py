"""Deploy: register the deployments of pipelines with the Prefect server of PREFECT_API_URL."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml

from nightloop.flows.cli.cut_off import resume_all_lost_runs
from nightloop.flows.cli.dead_runs import mark_dead_runs
from nightloop.tasks.objects.store_id import ensure_store_id
from nightloop.tasks.objects.stored_plans import store_plan
from nightloop.tasks.plan.cron import crons, timezone
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.plan.settings import PACKAGE
from nightloop.tasks.resources import open_store, plan_file, read

FILE = PACKAGE / "prefect.yaml"


def deploy(plans: Sequence[str]) -> list[str]:
    """Register every deployment of infra/prefect.yaml for each of these plans. Returns a line for each: what is scheduled.

    Each deployment names the plan as the store keeps it, and the id of the store: a worker needs neither the file of the
    plan nor any path of this machine, and a worker that sees another store refuses its runs. Existing deployments are
    updated, and those of other pipelines stay. Schedules follow the plan. One that a person
    paused stays paused, and one that a person added stays.

    Raises PlanError for mistakes in a plan, or two plans of one pipeline, before anything is registered, and ConflictError
    if PREFECT_API_URL is not set.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ConflictError(
            "deploy: PREFECT_API_URL is not set, so there is no server to deploy to. Start one with `nightloop up --plan "
            f"{plans[0][:80]}`, which deploys by itself, or export the address of yours"
        )
    plans_by_pipeline: dict[str, tuple[str, Plan]] = {}
    for name in dict.fromkeys(plans):
        plan = read(name)
        if plan.pipeline in plans_by_pipeline:
            other = plans_by_pipeline[plan.pipeline][0]
            raise PlanError(f"{other} and {name} are plans of one pipeline, {plan.pipeline}; give one of them")
        plans_by_pipeline[plan.pipeline] = (name, plan)
    objects = open_store()
    identity = ensure_store_id(objects)
    lines = [
        _register_pipeline(store_plan(objects, plan.pipeline, plan_file(name).read_bytes()), plan, identity)
        for name, plan in plans_by_pipeline.values()
    ]
    mark_dead_runs()
    return lines


def deployments_of(name: str, plan: Plan, store_id: str) -> list[dict[str, Any]]:
    """The deployments of infra/prefect.yaml, with the values of this plan filled in.

    `name`: what the runs name the plan by; `store_id`: of the store that they must use.
    """
    words = {
        "NIGHTLOOP_PIPELINE": plan.pipeline,
        "NIGHTLOOP_PLAN": name,
        "NIGHTLOOP_CRON": crons(plan)[0],
        "NIGHTLOOP_TIMEZONE": timezone(plan),
        "NIGHTLOOP_STORE_ID": store_id,
    }
    described = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    deployments: list[dict[str, Any]] = _fill_template(described["deployments"], words)
    for deployment in deployments:
        deployment["pull"] = described["pull"]
        first, *more = deployment.get("schedules", [{}])
        if first.get("slug") == "nightly":  # days that are cut at several times have several schedules
            others = [first | {"cron": cron, "slug": f"nightly-{n}"} for n, cron in enumerate(crons(plan)[1:], 2)]
            deployment["schedules"] = [first, *others, *more]
    return deployments


def _fill_template(value: Any, words: Mapping[str, str]) -> Any:
    """The value with every `{{ $WORD }}` filled in, as `prefect deploy` does from the environment."""
    if isinstance(value, str):
        return re.sub(r"{{ \$(\w+) }}", lambda match: words[match[1]], value)
    if isinstance(value, dict):
        return {key: _fill_template(item, words) for key, item in value.items()}
    return [_fill_template(item, words) for item in value] if isinstance(value, list) else value


def _register_pipeline(name: str, plan: Plan, store_id: str) -> str:
    """Register the deployments of one pipeline, of the plan that the store keeps by this name. Returns what is scheduled, in words."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    lines = []
    with get_client(sync_client=True) as client:
        deployments = deployments_of(name, plan, store_id)
        for pool in {deployment["work_pool"]["name"] for deployment in deployments}:
            _make_pool(client, pool)
        for deployment in deployments:
            registered = _register(deployment)
            client.update_deployment(registered, DeploymentUpdate(pull_steps=deployment["pull"]))
            lines += _update_schedules(client, registered, deployment)
    return f"{plan.pipeline}: the plan is {name}; {len(lines)} schedules: {'; '.join(lines)}"


def _make_pool(client: Any, name: str) -> None:
    """Make the work pool if there is none."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def _register(description: Mapping[str, Any]) -> Any:
    """Create or update one deployment, without its schedules. Returns its id."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig

    from nightloop.flows import deployments

    limit = description.get("concurrency_limit")
    deployment = getattr(deployments, description["entrypoint"].rpartition(".")[2]).to_deployment(
        description["name"],
        version=version("nightloop"),  # not that of a repository that happens to be the current directory
        description=description["description"],
        tags=description["tags"],
        parameters=description["parameters"],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        work_pool_name=description["work_pool"]["name"],
        job_variables=description["work_pool"]["job_variables"],
    )
    deployment.entrypoint = description["entrypoint"]
    return deployment.apply()


def _update_schedules(client: Any, deployment: Any, description: Mapping[str, Any]) -> list[str]:
    """Create or update the schedules that the file describes. Those that people paused or added stay as they are."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    existing = {schedule.slug: schedule for schedule in client.read_deployment_schedules(deployment)}
    lines = []
    for wanted in description.get("schedules", []):
        when = CronSchedule(cron=wanted["cron"], timezone=wanted["timezone"])
        present = existing.pop(wanted["slug"], None)
        if present is None:
            created = DeploymentScheduleCreate(schedule=when, active=True, slug=wanted["slug"])
            client.create_deployment_schedules(deployment, [created])
        elif (present.schedule.cron, present.schedule.timezone) != (when.cron, when.timezone):
            client.update_deployment_schedule(deployment, present.id, schedule=when)
        paused = "" if present is None or present.active else ", paused in Prefect and left so"
        lines.append(f"{description['name']} at {when.cron} {when.timezone}{paused}")
    for slug, old in existing.items():
        if slug and slug.startswith("nightly-"):  # the plan cuts its days at fewer times than before
            client.delete_deployment_schedule(deployment, old.id)
    return lines


def main() -> None:
    """What `nightloop up` runs against its own server. A plan with a mistake is left out; exit code 1 if all have one."""
    taken: dict[str, str] = {}
    for plan in sys.argv[1:]:
        try:
            if (other := taken.get(pipeline := read(plan).pipeline)) is not None:
                raise PlanError(f"{other} is a plan of {pipeline} too; give one of them")
            lines = deploy([plan])
            taken[pipeline] = plan
        except (ValueError, LookupError, FileNotFoundError) as error:
            lines = [f"nightloop: {plan} is left out, the others are used: {safe_text(str(error))}"]
        sys.stderr.write("".join(f"{line}\n" for line in lines))
    if taken:
        resume_all_lost_runs()
    sys.exit(0 if taken or not sys.argv[1:] else 1)


if __name__ == "__main__":
    main()
