"""Backfill: run a range of periods in order. What would run, and why, is shown first."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from nightloop.flows.night_limit import limit_night
from nightloop.flows.nightly import collect_all, night, periods_of
from nightloop.flows.pipeline_lock import hold_pipeline_lock
from nightloop.flows.run_names import run_name
from nightloop.flows.run_summary import report_early_end, summarize, undrawn_report_warns
from nightloop.flows.scheduled_time import Clock, scheduled_time, utc_now
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks import move_champion
from nightloop.tasks.artifacts import Bar
from nightloop.tasks.collect import collect
from nightloop.tasks.lake.catalog_marks import catalog_identity
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.errors import error_message
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.report import advance, publish
from nightloop.tasks.resources import open_lake, read
from nightloop.tasks.runner import open_runner, workers_for
from nightloop.tasks.schedule import (
    Chosen,
    backfill_steps,
    ends_at_newest,
    newest_shown,
    period_name,
    recorded_night,
    refuse_unknown,
)

log = logging.getLogger(__name__)
REFRESH = 5.0  # seconds between two looks at the grid while a range runs


@flow("backfill", run_name)
def backfill(
    plan: str = "simulated",
    start: str = "",
    end: str = "",
    what: Chosen = "missing and failed",
    strategies: tuple[str, ...] = (),
    dry_run: bool = False,
    stop_on: Literal["blocked", "warned"] = "blocked",
    move_champion: bool = False,
) -> list[str]:
    """Run a range of nights in order, each fed by its true predecessor and by the champion as of that night.

    The table of what would run, and why, is shown first as an artifact. Cancel at any time and run again to resume.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        start: First period, such as 2026-01-07; empty: the root.
        end: Last period; empty: the newest that is closed.
        what: Which nights of the range to run. A night that runs makes every later one of the range run.
        strategies: Names of the strategies that may be trained, such as fine-tune; the others must be reusable. Empty: all.
        dry_run: Show the plan and stop.
        stop_on: Stop at a night that validation blocks, or already at one it only warns about.
        move_champion: Let the live champion follow, if the range ends at the newest period.
    """
    loaded_plan, when = read(plan), scheduled_time()
    refuse_unknown(loaded_plan, strategies)
    agenda = backfill_steps(loaded_plan, start, end, what, when)
    runs = [step.period for step in agenda if step.action == "run"]
    if dry_run or not runs:
        told = [f"{period_name(loaded_plan, step.period)}: {step.action}, {step.why}" for step in agenda]
        if dry_run or not agenda or not move_champion:
            return told
        return [*told, _move_champion(loaded_plan, agenda[-1].period)]
    with hold_pipeline_lock(loaded_plan), open_runner(Settings().runner):
        live = move_champion and ends_at_newest(loaded_plan, runs[-1])
        done = _run_in_order(loaded_plan, runs, strategies, stop_on, when, utc_now if live else None)
        with undrawn_report_warns(loaded_plan.pipeline):
            publish(loaded_plan, newest_shown(loaded_plan, when))
    return summarize(done, live)


def _move_champion(plan: Plan, last: int) -> str:
    """Let the champion follow nights that an earlier backfill made, if the range ends at the newest. Returns it in words."""
    with hold_pipeline_lock(plan):
        newest = recorded_night(plan, last)
        if newest is None or not ends_at_newest(plan, last):
            return "the champion was not moved: the range does not end at the newest night"
        return f"the champion after {newest.name}: {move_champion.move_champion(newest, utc_now().isoformat())}"


def _collect_side_by_side(plan: Plan, runs: Sequence[int]) -> dict[int, Landing]:
    """What the workers of the run collected, by period, if the lake can be written by several of them at a time.

    A period that a worker cannot collect is not in it: it is collected in its turn, where an error stops the backfill.
    """
    periods = [period for index in runs for period in periods_of(plan, index)]
    if not Settings().postgres or (workers := workers_for(len(periods))) == 1:
        return {}

    with open_lake(plan) as warehouse:
        catalog = catalog_identity(warehouse)

    def try_to_collect(index: int) -> Landing | None:
        try:
            return collect(plan, index, catalog)
        except Exception as error:  # whatever it is, the nights before this period can run
            log.warning("%s is collected again in its turn: %s", period_name(plan, index), error_message(error))
            return None

    with limit_night(plan, f"the collection from {period_name(plan, periods[0])} on", len(runs)):
        landings = side_by_side(try_to_collect, periods, workers)
    return {landing.period: landing for landing in landings if landing is not None}


def _run_in_order(
    plan: Plan, runs: Sequence[int], only: Sequence[str], stop_on: str, when: datetime, clock: Clock | None
) -> list[Manifest]:
    """Run the nights one by one. The champion moves at the last one, or not at all."""
    done: list[Manifest] = []
    bar, until = Bar(f"{plan.pipeline}-backfill", f"{len(runs)} nights of {plan.pipeline}"), newest_shown(plan, when)
    advance(plan, bar, 0, len(runs), until)
    refreshed = time.monotonic()
    with report_early_end(done, runs, clock is not None):
        collected = _collect_side_by_side(plan, runs)
        for index in runs:
            last = clock if index == runs[-1] else None
            with limit_night(plan, period_name(plan, index)):
                done.append(night(plan, collect_all(plan, index, "", collected), last, only))
            if time.monotonic() - refreshed > REFRESH:
                advance(plan, bar, len(done), len(runs), until)
                refreshed = time.monotonic()
            warned = any(v.verdict == "warned" for v in done[-1].validated)
            if done[-1].outcome == "blocked" or (stop_on == "warned" and warned):
                break
    advance(plan, bar, len(done), len(runs), until)
    bar.end()
    return done
