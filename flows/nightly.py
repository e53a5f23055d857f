"""Nightly: one period of logs through the loop, and the nights that were missed before it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from nightloop.flows.night_limit import limit_night
from nightloop.flows.pipeline_lock import hold_pipeline_lock
from nightloop.flows.run_names import run_name
from nightloop.tasks.collect import collect, pass_over, replay
from nightloop.tasks.follow_champion import move_champion
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.orchestration import failed, flow, run
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.record.manifest import Manifest, TrainedCheckpoint
from nightloop.tasks.report import publish, report
from nightloop.tasks.reports.findings import CATCH_UP
from nightloop.tasks.reports.format import plain, plural
from nightloop.tasks.reports.verdict import sentence
from nightloop.tasks.resources import read_plan_form
from nightloop.tasks.schedule import (
    decide_override,
    newest_period,
    newest_shown,
    nights_to_run,
    period_name,
    plan_of,
    refuse_late_skip,
)
from nightloop.tasks.validate import validate

log = logging.getLogger(__name__)
Clock = Callable[[], datetime]


def night_name(flow: str, parameters: Mapping[str, object]) -> str:
    """The name of a run. If no period was given, it is that of the scheduled time."""
    with suppress(Exception):  # the run itself reports what is wrong with the plan
        if not str(parameters.get("period") or "").strip():
            order = read_plan_form(str(parameters["plan"]))
            return run_name(flow, {**parameters, "period": period_name(order, newest_period(order, scheduled_time()))})
    return run_name(flow, parameters)


@flow("nightly", night_name)
def nightly(
    plan: str = "simulated",
    period: str = "",
    catch_up: int = CATCH_UP,
    accept: str = "",
    skip: str = "",
    replay_landed: bool = False,
    retry_failed: bool = False,
) -> list[str]:
    """Run the night that the schedule names: collect, validate, score, retrain, compare, deploy.

    Nights that were missed before it are caught up first, in order.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        period: Name of the period, such as 2026-01-07; empty: the newest that was closed at the scheduled time.
        catch_up: Most missed nights to run before it. More are refused, so that a year is not started by mistake.
        accept: Let the period pass although validation stops it, for this reason.
        skip: Skip the period, for this reason; models stay as they are.
        replay_landed: Validate the rows that were landed again, after the plan's expectations were corrected.
        retry_failed: Run a finished night again if a strategy failed in it. This makes a new revision.
    """
    when = scheduled_time()
    order = plan_of(plan, period, when)
    done: list[Manifest] = []
    remark = ""
    with hold_pipeline_lock(order):
        nights = nights_to_run(order, period, when, catch_up)
        if skip:
            refuse_late_skip(order, nights[-1], utc_now() - when)
        with report_early_end(done, nights):
            for index in nights:
                last = index == nights[-1]
                with limit_night(order, period_name(order, index)):
                    landed = (
                        replay(order, index)
                        if replay_landed and last
                        else collect_all(order, index, skip if last else "")
                    )
                    if last:
                        decide_override(order, landed[-1], accept, skip, when)
                    remark = landed[-1].remark
                    done.append(night(order, landed, utc_now, (), retry_failed and last))
                if done[-1].outcome == "blocked":
                    break
        publish(order, newest_shown(order, when))
    return summarize(done, remark=remark)


def night(
    plan: Plan, landed: Sequence[Landing], clock: Clock | None, only: Sequence[str] = (), retry_failed: bool = False
) -> Manifest:
    """Run one night on logs that were collected. `clock`: gives the time at which the champion moves; None: it stays.

    Running a finished night again changes nothing; one that crashed continues where it stopped. A strategy that fails keeps
    its last checkpoint. Raises PlanError if all strategies failed; nothing is recorded then.
    """
    trained: Mapping[str, TrainedCheckpoint] = {}
    opened = validate(plan, landed, retry_failed)
    if isinstance(opened, Manifest):
        manifest = opened
    else:
        from nightloop.flows.run_night import (
            train,  # brings torch, which takes seconds, and a finished night needs none
        )

        manifest, trained = train(opened, only)
    if clock is not None:
        move_champion(manifest, clock().isoformat())
    report(manifest, trained, clock is not None)
    return manifest


def collect_all(plan: Plan, index: int, skip: str = "") -> list[Landing]:
    """Collect the period, or all of the root's history. A period that is to be skipped need not be there."""
    first = 0 if index == plan.pretrain_periods - 1 else index
    if first < index or not skip:
        return [collect(plan, period) for period in range(first, index + 1)]
    try:
        return [collect(plan, index)]
    except (FileNotFoundError, ValueError) as error:
        log.warning("%s is skipped without its logs: %s", period_name(plan, index), error)
        return [pass_over(plan, index)]


@contextmanager
def report_early_end(done: Sequence[Manifest], planned: Sequence[int], live: bool = True) -> Iterator[None]:
    """If a run of nights ends early: say which are done, and that it can be resumed. `live`: as in `summarize`."""
    try:
        yield
    except BaseException as error:
        for manifest in done:
            _say(sentence(manifest, live))
        resume = f"after {len(done)} of {plural(len(planned), 'night')}; run it again to resume"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted {resume}") from None
        _say(f"stopped {resume}")
        raise


def _say(line: str) -> None:
    """Print a line on stderr. If Prefect runs the flow, log it instead."""
    if run().prefect:
        log.warning("%s", line)
    else:
        sys.stderr.write(f"{safe_text(line)}\n")


def summarize(done: Sequence[Manifest], live: bool = True, remark: str = "") -> list[str]:
    """One line a night. A failed state if validation stopped the last one, so that an alert is sent.

    Without `live` the nights were replayed and moved no champion. `remark`: what is known of the last one's logs.
    """
    lines = [sentence(manifest, live) for manifest in done]
    if not done or done[-1].outcome != "blocked":
        return lines
    last = done[-1]
    reasons = [plain(last.reason, 900), *([plain(remark, 600)] if remark else [])]
    stopped: list[str] = failed(
        f"{last.name} of {last.pipeline} was stopped by validation: {'. '.join(reasons)}. Correct the source and run the "
        f'night again, or decide: nightloop night {as_given(last.pipeline)} --period {last.name} --accept "why" '
        '(or --skip "why")'
    )
    return stopped


def utc_now() -> datetime:
    """The time now in UTC. Promotions are logged with the time at which they happen."""
    return datetime.now(UTC)


def scheduled_time() -> datetime:
    """The time that the schedule gave this run, so that a late or repeated run names the same period. By hand: now."""
    return run().scheduled or utc_now()
