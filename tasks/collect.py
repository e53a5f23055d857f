"""Collect: land one period of logs in the lake, as a new version only where the content is new."""

from __future__ import annotations

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run

from tasks.lake.collect import collect as collect_period
from tasks.lake.keeping import replay as replay_version
from tasks.lake.periods import period
from tasks.lake.validation import prepare
from tasks.lake.warehouse import Landing
from tasks.open import open_lake
from tasks.plan.outward import guarded
from tasks.plan.plan import Plan
from tasks.strategies.assembly import assemble


def _worth_another_try(task: Task[..., Landing], run: TaskRun, state: State[Landing]) -> bool:
    """Whether trying again may help: a broken file stays broken, a network comes back."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _named() -> str:
    """The verb and the period's name."""
    given = task_run.parameters
    return f"{task_run.task_name} {period(given['plan'].periods, given['index']).name}"


@task(
    task_run_name=_named, cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[1, 5],
    retry_condition_fn=_worth_another_try,
)  # fmt: skip
@guarded()
def collect(plan: Plan, index: int) -> Landing:
    """Read the period from the plan's source and land it. Collecting the same rows again changes nothing."""
    prepare()  # every period that is collected is validated next
    source = assemble(plan).source
    with open_lake(plan) as warehouse:
        return collect_period(warehouse, source, plan, period(plan.periods, index))


@task(task_run_name=_named, cache_policy=NO_CACHE)
@guarded()
def replay(plan: Plan, index: int) -> list[Landing]:
    """Land the newest version of a period again as a new one, so that mended expectations can judge it anew."""
    with open_lake(plan) as warehouse:
        at, newest = period(plan.periods, index), warehouse.latest()
        if index not in newest:
            raise LookupError(f"nothing of {at.name} was ever collected: there is nothing to replay")
        return [replay_version(warehouse, plan, at, newest[index])]
