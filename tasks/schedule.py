"""Schedule: which nights are due, and an operator's decision about one; read before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from nightloop.tasks.artifacts import show_markdown
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import newest_closed, parse, period
from nightloop.tasks.objects import pipelines
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Counts, Plan
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.backfill_plan import Step, backfill_plan, changed_fields, invalidates_checkpoint
from nightloop.tasks.record.due import due_nights, following_period, newest_recorded, root_period
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.open_night import refuse_changed_plan
from nightloop.tasks.record.overrides import Override, read_override, record_override
from nightloop.tasks.record.period_states import overview
from nightloop.tasks.reports.backfill import backfill as backfill_table
from nightloop.tasks.reports.table import as_markdown
from nightloop.tasks.resources import actor, open_lake, open_store, read, read_plan_form

SHOWN = 500  # nights of a backfill's plan that its artifact lists
LATE = timedelta(minutes=2)  # what a worker takes to start a run
Chosen = Literal["missing", "missing and failed", "stale", "all"]  # nights of a backfill, as its form says it


def plan_of(plan: str, name: str, when: datetime) -> Plan:
    """The plan of this name or path. Its plug-ins' options are checked, unless the night was recorded under the same plan.

    `name`, `when`: as for `nights_to_run`. Checking plug-ins takes seconds, and a finished night needs none.
    """
    form = read_plan_form(plan)
    recorded = manifest_store.current_manifest(
        open_store(), form.pipeline, _target(form, name, lambda: newest_period(form, when))
    )
    if recorded is not None and recorded.outcome == "complete" and not changed_fields(recorded.plan, form):
        return form
    return read(plan)


@task("agenda")
def nights_to_run(plan: Plan, name: str, when: datetime, catch_up: int) -> list[int]:
    """Indexes of the nights to run, in order: those missed, then the named one, or the newest that is closed at `when`."""
    refuse_other_periods(plan)
    last = newest_period(plan, when)
    target = _target(plan, name, lambda: last)
    if target > last:
        raise PlanError(
            f"period {name} is not over yet at {when:%Y-%m-%d %H:%M %Z}; the newest closed one is {period_name(plan, last)}"
        )
    nights = due_nights(open_store(), plan, target, catch_up)
    before = nights[0] - 1
    night = recorded_night(plan, before) if before >= root_period(plan) else None
    refuse_changed_plan(plan, night, period_name(plan, nights[0]))
    return nights


def refuse_other_periods(plan: Plan) -> None:
    """Raise PlanError if the pipeline's nights have other periods: the same index would be another period."""
    objects = open_store()
    for index in pipelines.first_nights(objects, plan.pipeline) or ():
        night = manifest_store.current_manifest(objects, plan.pipeline, index)
        changed = changed_fields(night.plan, plan) if night else []
        different = [f for f in changed if f.startswith("periods") and invalidates_checkpoint(f)]
        if night and different:
            raise PlanError(
                f"the periods of {plan.pipeline} changed since {night.name}: {', '.join(different)}. Its logs and nights are "
                "numbered by the old periods, so they cannot continue under new ones. Restore the plan's `periods`, or give the "
                "pipeline a new name and backfill it; nothing was changed"
            )


def _target(plan: Plan, name: str, last: Callable[[], int]) -> int:
    """Index of the named night; if none is named, `last()`, which for counted rows reads the whole chain."""
    return parse(plan.periods, name).index if name.strip() else last()


def newest_period(plan: Plan, when: datetime) -> int:
    """Index of the newest period that is closed. If rows are counted: the first that has no night yet."""
    if isinstance(plan.periods, Counts):
        return following_period(open_store(), plan)
    return newest_closed(plan.periods, round(when.timestamp() * 1_000_000))


def newest_shown(plan: Plan, when: datetime) -> int | None:
    """Index of the last night that a report shows, missing ones included. None: only recorded nights."""
    return None if isinstance(plan.periods, Counts) else max(newest_period(plan, when), root_period(plan))


def ends_at_newest(plan: Plan, last: int) -> bool:
    """Whether no night after `last` is recorded: only then may the live champion follow a backfill."""
    return last >= newest_recorded(open_store(), plan)


def recorded_night(plan: Plan, index: int) -> Manifest | None:
    """The period's current night, if it has one."""
    return manifest_store.current_manifest(open_store(), plan.pipeline, index)


def refuse_unknown(plan: Plan, strategies: Sequence[str]) -> None:
    """Raise PlanError if a name is not one of the plan's strategies."""
    if unknown := [name for name in strategies if name not in plan.strategies]:
        raise PlanError(f"{plan.pipeline} has no strategy {unknown[0][:80]!r}; it has {', '.join(plan.strategies)}")


def period_name(plan: Plan, index: int) -> str:
    """The period's name; `none` for a negative index."""
    return period(plan.periods, index).name if index >= 0 else "none"


def decide_override(
    plan: Plan, landing: Landing, accept: str, skip: str, when: datetime, earlier: Sequence[Landing] = ()
) -> None:
    """Record that an operator accepts or skips a version of a period; nothing if no reason is given.

    `earlier`: the other periods that the night reads, which the root pre-trains on. Those that stopped it are accepted too.
    """
    if accept and skip:
        raise PlanError("accept and skip were both given; a period is either accepted or skipped")
    if skip and landing.period == root_period(plan):  # before it is recorded: a decision is final for these rows
        raise PlanError(
            f"{period_name(plan, landing.period)} is the root of {plan.pipeline}: it cannot be skipped, since later nights start from "
            "it. Nothing was changed. Correct the source and run the night again, accept it, or begin with other periods "
            "(pretrain_periods, or periods.start)"
        )
    if accept:
        _refuse_unseen(plan, landing)
    if not accept and not skip:
        return
    for each in [*(_stopping(plan, landing.period, earlier) if accept else ()), landing]:
        decided = Override(
            kind="accept" if accept else "skip", by=actor(), reason=redact(accept or skip), when=when.isoformat()
        )
        record_override(open_store(), plan.pipeline, each.place, decided, period_name(plan, each.period))


def _stopping(plan: Plan, index: int, landed: Sequence[Landing]) -> list[Landing]:
    """Those of the landed versions at which validation stopped the night `index`."""
    night = manifest_store.current_manifest(open_store(), plan.pipeline, index)
    if night is None or night.outcome != "blocked":
        return []
    read = zip(night.logs, night.validated, strict=True)
    stopped = {(logs.period, logs.version) for logs, result in read if result.verdict == "blocked"}
    return [landing for landing in landed if (landing.period, landing.version) in stopped]


def refuse_skip_of_complete(plan: Plan, index: int, waited: timedelta, force: bool) -> None:
    """Raise ConflictError if a request skips a complete night without `force`, or waited for a worker since, or was resumed.

    A skip is final for the rows that landed. Whoever asked long ago has not seen the delivery that the night was completed
    with.
    """
    night = manifest_store.current_manifest(open_store(), plan.pipeline, index)
    if night is None or night.outcome != "complete" or (force and waited <= LATE):
        return
    again = f'nightloop night {as_given(plan.pipeline)} --period {night.name} --skip "why" --force'
    old = f", and this request to skip it is {waited.total_seconds() / 60:.0f} minutes old" if force else ""
    raise ConflictError(
        f"{night.name} of {plan.pipeline} is complete{old}; nothing was changed. skip is for a period that validation stopped. If a "
        f"complete night is to be dropped all the same, for good, with what it learned: {again}. Later nights are stale then"
    )


def _refuse_unseen(plan: Plan, landing: Landing) -> None:
    """Raise PlanError if this version is not the one that validation stopped: an operator must have seen what to accept."""
    objects, name = open_store(), period_name(plan, landing.period)
    night = manifest_store.current_manifest(objects, plan.pipeline, landing.period)
    stopped = [logs.version for logs in night.logs if logs.period == landing.period] if night else []
    if night and night.outcome == "blocked" and landing.version in stopped:
        return
    if read_override(objects, plan.pipeline, landing.place):
        return  # it was decided before
    if night and landing.version in stopped:
        raise PlanError(
            f"accept: validation has not stopped version {landing.version} of {name}; the night of it is {night.outcome}. There is "
            "nothing to accept"
        )
    is_blocked = night is not None and night.outcome == "blocked"
    stop = f"it stopped version {stopped[-1]}" if is_blocked and stopped else "it stopped nothing"
    raise PlanError(
        f"accept: validation has not judged version {landing.version} of {name}, which has just landed; {stop}. Nothing was "
        f"accepted. Run `nightloop night {as_given(plan.pipeline)} --period {name}`, look at what it says, then accept"
    )


@task("plan of the backfill")
def backfill_steps(plan: Plan, start: str, end: str, what: Chosen, when: datetime) -> list[Step]:
    """What a backfill would run, and why. It is shown as an artifact before anything runs."""
    refuse_other_periods(plan)
    closed_until = newest_period(plan, when)
    first = parse(plan.periods, start).index if start.strip() else root_period(plan)
    last = parse(plan.periods, end).index if end.strip() else closed_until
    counted = isinstance(plan.periods, Counts)  # how far the rows reach is known when they are read
    with open_lake(plan) as warehouse:
        reach = max(last, closed_until) if counted else closed_until
        _, states = overview(open_store(), warehouse, plan, reach)  # the records themselves: one may be damaged
    chosen, later = "failed" if what == "missing and failed" else what, reach - max(states, default=reach)
    steps = backfill_plan(states, chosen, first, last, lambda index: period_name(plan, index), later)
    table = backfill_table(
        plan.pipeline, steps, {step.period: period_name(plan, step.period) for step in steps}
    ).oldest(SHOWN)
    show_markdown(f"{plan.pipeline}-backfill-plan", "What runs, and why", as_markdown(table))
    return steps
