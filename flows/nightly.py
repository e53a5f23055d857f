"""Nightly: one period of logs through the loop, and the nights that were missed before it.

A night is: `collect` and `validate` the period; at the root `pretrain` the weights that every strategy starts from; `score`
the checkpoints of the night before on the period; `retrain` each strategy; `compare` the challengers with the champion;
`deploy` the winner, which writes the manifest; `move_champion`; `report`. Each step is a file of that name in `tasks`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nightloop.flows.night_limit import limit_night
from nightloop.flows.pipeline_lock import hold_pipeline_lock
from nightloop.flows.run_names import night_name
from nightloop.flows.run_summary import report_early_end, summarize, undrawn_report_warns
from nightloop.flows.scheduled_time import Clock, scheduled_time, utc_now
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks.collect import collect, pass_over, replay, was_passed_over
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.move_champion import move_champion
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import CheckpointRef, Manifest, TrainedCheckpoint, failed_in
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.report import publish, report
from nightloop.tasks.reports.findings import CATCH_UP
from nightloop.tasks.reports.format import plain
from nightloop.tasks.runner import measured, open_runner, workers_for
from nightloop.tasks.schedule import (
    decide_override,
    newest_shown,
    nights_to_run,
    period_name,
    plan_of,
    refuse_skip_of_complete,
)
from nightloop.tasks.validate import validate

log = logging.getLogger(__name__)


@flow("nightly", night_name)
def nightly(
    plan: str = "simulated",
    period: str = "",
    catch_up: int = CATCH_UP,
    accept: str = "",
    skip: str = "",
    replay_landed: bool = False,
    retry_failed: bool = False,
    force: bool = False,
) -> list[str]:
    """Run the night that the schedule names: collect, validate, score, retrain, compare, deploy.

    Nights that were missed before it are caught up first, in order.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        period: Name of the period, such as 2026-01-07; empty: the newest that was closed at the scheduled time.
        catch_up: Most missed nights to run before it. More are refused, so that a year is not started by mistake.
        accept: Let the period pass although validation stops it, for this reason.
        skip: Skip the period, for this reason; models stay as they are.
        replay_landed: Validate the rows that were landed again, after the plan's expectations were corrected.
        retry_failed: Run a finished night again if a strategy failed in it. This makes a new revision.
        force: Skip the period although its night is complete. This is final for the rows that landed.
    """
    when = scheduled_time()
    loaded_plan = plan_of(plan, period, when)
    done: list[Manifest] = []
    remark = ""
    with hold_pipeline_lock(loaded_plan), open_runner(Settings().runner):
        nights = nights_to_run(loaded_plan, period, when, catch_up)
        if skip and not accept:
            refuse_skip_of_complete(loaded_plan, nights[-1], utc_now() - when, force)
        with report_early_end(done, nights):
            for index in nights:
                last = index == nights[-1]
                with limit_night(loaded_plan, period_name(loaded_plan, index)):
                    landed = (
                        replay(loaded_plan, index)
                        if replay_landed and last
                        else collect_all(loaded_plan, index, skip if last else "")
                    )
                    if last:
                        decide_override(loaded_plan, landed[-1], accept, skip, when, landed[:-1])
                    remark = landed[-1].remark
                    done.append(night(loaded_plan, landed, utc_now, (), retry_failed and last))
                if done[-1].outcome == "blocked":
                    break
        with undrawn_report_warns(loaded_plan.pipeline):
            publish(loaded_plan, newest_shown(loaded_plan, when))
    return summarize(done, remark=remark)


def collect_all(
    plan: Plan, index: int, skip: str = "", collected: Mapping[int, Landing] = MappingProxyType({})
) -> list[Landing]:
    """Collect the period, or all of the root's history, but not what was `collected` already. A period that is to be skipped,
    or was skipped without its logs, need not be there."""
    periods = periods_of(plan, index)
    if len(periods) > 1 or index in collected:
        return [collected[period] if period in collected else collect(plan, period) for period in periods]
    try:
        return [collect(plan, index)]
    except (FileNotFoundError, ValueError) as error:
        if not skip and not was_passed_over(plan, index):
            raise
        log.warning("%s is skipped without its logs: %s", period_name(plan, index), error)
        return [pass_over(plan, index)]


def periods_of(plan: Plan, index: int) -> range:
    """The periods whose logs a night collects: its own; the root's are all up to it."""
    return range(0 if index == plan.pretrain_periods - 1 else index, index + 1)


def night(
    plan: Plan, landed: Sequence[Landing], clock: Clock | None, only: Sequence[str] = (), retry_failed: bool = False
) -> Manifest:
    """Run one night on logs that were collected. `clock`: gives the time at which the champion moves; None: it stays.

    Running a finished night again changes nothing; one that crashed continues where it stopped. A strategy that fails keeps
    its last checkpoint. Raises PlanError if all strategies failed; nothing is recorded then.
    """
    trained: Mapping[str, TrainedCheckpoint] = {}
    opened = validate(plan, landed, retry_failed)
    if isinstance(opened, Manifest):  # it is finished, or validation stopped it, or an operator skipped it
        manifest = opened
    else:
        manifest, trained = score_and_retrain(opened, only)
    if clock is not None:
        move_champion(manifest, clock().isoformat())
    report(manifest, trained, clock is not None)
    return manifest


def score_and_retrain(night: Night, only: Sequence[str] = ()) -> tuple[Manifest, Mapping[str, TrainedCheckpoint]]:
    """Score yesterday's checkpoints, retrain, compare and deploy. `only`: the strategies that may train; empty: all.

    Returns the night's manifest, and what each strategy made. Raises PlanError if all strategies failed.
    """
    # These steps bring torch, whose import takes seconds, and a finished night needs none of them.
    from nightloop.tasks.compare import compare
    from nightloop.tasks.deploy import deploy
    from nightloop.tasks.pretrain import pretrain
    from nightloop.tasks.score import score
    from nightloop.tasks.serving.fresh_process import fork_server_of_process

    fork_server_of_process()  # it imports what the smoke test needs while strategies train
    start = pretrain(night) if night.previous is None else None
    scores = score(night)
    trained = retrain_all(night, start, only)
    failures = failed_in(trained)
    if len(failures) == len(trained):
        reasons = "; ".join(f"{label}: {failure.reason}" for label, failure in failures.items())
        raise PlanError(f"no strategy could learn from {night.name}, so nothing was recorded: {plain(reasons, 900)}")
    return deploy(night, scores, trained, compare(night, scores, failures)), trained


def retrain_all(night: Night, start: CheckpointRef | None, only: Sequence[str]) -> dict[str, TrainedCheckpoint]:
    """What each strategy made, by label. Those that train others of the plan come after them; the rest as the runner allows."""
    from nightloop.tasks.plugins.assembly import assemble
    from nightloop.tasks.retrain import retrain
    from nightloop.tasks.retraining.members import training_stages

    done: dict[str, TrainedCheckpoint] = {}
    for stage in training_stages(assemble(night.plan).strategies):
        earlier, waiting = dict(done), list(stage)

        def train(label: str, earlier: Mapping[str, TrainedCheckpoint] = earlier) -> TrainedCheckpoint:
            return retrain(night, label, start, bool(only) and label not in only, earlier)

        while waiting and (workers := workers_for(len(waiting))) == 1:
            label = waiting.pop(0)
            with measured(len(waiting)):
                done[label] = train(label)
        done |= zip(waiting, side_by_side(train, waiting, workers), strict=True) if waiting else {}
    return {label: done[label] for label in night.plan.strategies}
