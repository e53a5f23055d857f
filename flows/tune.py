"""Tune: find settings of a plan's strategies, model and pre-training on its own past periods. It changes no plan and no night."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nightloop.flows.bakeoff import (
    Runner,
    check_runner,
    collect_all_rows,
    collect_missing,
    open_worker_pool,
)
from nightloop.flows.run_names import run_name
from nightloop.flows.scheduled_time import scheduled_time
from nightloop.flows.search_rounds import SearchRun, tune_in_order
from nightloop.tasks.bakeoff.entrants import leading_metric_of
from nightloop.tasks.bakeoff.history import ReplayedPeriod
from nightloop.tasks.bakeoff.jobs import JobTable
from nightloop.tasks.bakeoff.spec import BakeoffSpec, Kind
from nightloop.tasks.lake.periods import parse
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.leading_metric import CATALOGUE
from nightloop.tasks.plan.plan import Counts, Plan
from nightloop.tasks.plan.yaml_reader import read_mapping
from nightloop.tasks.resources import keep_open, read
from nightloop.tasks.run_bakeoff import newest_collected, shared_directory, write_history
from nightloop.tasks.run_tuning import place_of_plan, publish_tuning
from nightloop.tasks.schedule import newest_period, period_name
from nightloop.tasks.tuning.search_periods import SearchPeriods, last_searched, search_periods
from nightloop.tasks.tuning.spaces import searched_strategies
from nightloop.tasks.tuning.tuned_plan import follow_tuned
from nightloop.tasks.tuning.tuning_result import TuningResult

LONGEST, MOST = 10_080.0, 10_000  # minutes, which is a week; trials of a strategy


@flow("tune", run_name)
def tune(
    plan: str = "simulated",
    budget: float = 10.0,
    trials: int = 60,
    strategies: tuple[str, ...] = (),
    space: dict[str, dict[str, Any]] | None = None,
    end: str = "",
    pretrain_periods: int = 0,
    out: str = "",
    runner: Runner = "processes",
    workers: int = 2,
) -> dict[str, Any]:
    """Search better settings on past periods, by the bake-off's numbers, and write a new plan beside the old one.

    Finished trials are kept: run it again, with a larger budget if you like, and it goes on. No night is changed.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file. It is not changed.
        budget: Minutes that the search may take. The check of the choice follows.
        trials: Most settings that are tried for each strategy.
        strategies: Labels of the plan; empty: all that declare what is worth tuning.
        space: What to search instead: {"fine-tune": {"training.lr": {"low": 0.01, "high": 0.3, "log": true}}}; also model, pretrain.
        end: Last period that is read; empty: the newest in the lake, at most 16 periods after the root.
        pretrain_periods: Periods that trials pre-train on; 0: as many as the plan has, or a third of all if too few follow.
        out: Path of the new plan; empty: NAME.tuned.yaml beside the plan.
        runner: processes; dask, a new local cluster; dask:tcp://HOST:PORT or ray://HOST:PORT, one that is there.
        workers: Trials that run side by side.
    """
    loaded_plan, path = read(plan), place_of_plan(plan, out)
    wrong = wrong_numbers(budget, trials, runner, workers)
    try:
        searched = searched_strategies(loaded_plan, strategies, space)
    except PlanError as error:
        wrong.append(str(error))
    if wrong:
        raise PlanError("; ".join(wrong))
    with keep_open(loaded_plan):
        last = last_period(loaded_plan, end, scheduled_time())
        periods = search_periods(loaded_plan, last, pretrain_periods)
        collect_missing(loaded_plan, last)
        with shared_directory() as directory, open_worker_pool(runner, workers) as pool:
            replayed = write_history(loaded_plan, last, directory)
            kinds: tuple[Kind, ...] = ("uniform",) if loaded_plan.family == "ranking" else ()
            table = JobTable(plan_of_trials(loaded_plan, periods), replayed, directory, kinds, 0)
            periods = without_skipped(periods, replayed)
            run = SearchRun(table, periods, leading_metric_of(loaded_plan, BakeoffSpec()), pool, trials)
            tuned, found = tune_in_order(run, searched, 60 * budget)
        labels = [one.label for one in found if one.settings]
        names = {period.period: period.name for period in replayed}
        followed = follow_tuned(loaded_plan, tuned, labels)
        return publish_tuning(plan, path, TuningResult(loaded_plan, followed, run.metric, periods, names, found))


def read_space(path: str) -> dict[str, Any]:
    """What to search, as a YAML file has it. Raises FileNotFoundError if there is none, and PlanError if it is no mapping."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no file {path[:200]!r}: a space is a YAML file of labels, options and values; or leave it out"
        )
    return read_mapping(Path(path), "a space", "labels of the plan, model, pretrain")


def wrong_numbers(budget: float, trials: int, runner: Runner, workers: int) -> list[str]:
    """Every number that is out of range, in a sentence each."""
    wrong = check_runner(runner, workers)
    if not 0 < budget <= LONGEST:
        wrong.append(f"budget: given {budget:g} minutes; give more than 0 and at most {LONGEST:,.0f}; 10 is usual")
    if not 1 <= trials <= MOST:
        wrong.append(f"trials: given {trials}; allowed are 1 to {MOST:,}")
    return wrong


def last_period(plan: Plan, end: str, now: datetime) -> int:
    """The last period that is read. Periods that the lake lacks are collected if it has none after the root."""
    counted = isinstance(plan.periods, Counts)
    if end:
        last = parse(plan.periods, end).index
        if not counted and last > newest_period(plan, now):
            raise PlanError(f"end: {end} is not over yet; the newest is {period_name(plan, newest_period(plan, now))}")
        return last
    newest = newest_collected(plan)
    if newest < plan.pretrain_periods:
        newest = collect_all_rows(plan) if counted else newest_period(plan, now)
    return last_searched(plan, newest)


def plan_of_trials(plan: Plan, periods: SearchPeriods) -> Plan:
    """The plan as trials run it: with their own root, and without a ranking of the whole catalogue that chooses nothing."""
    ranking = plan.ranking.model_copy(update={"catalogue": plan.leading_metric.startswith(CATALOGUE)})
    return plan.model_copy(update={"pretrain_periods": periods.pretrain, "ranking": ranking})


def without_skipped(periods: SearchPeriods, replayed: tuple[ReplayedPeriod, ...]) -> SearchPeriods:
    """The same without periods that an operator skipped. Raises PlanError if none is left to search or to check."""
    there = {period.period for period in replayed}
    search, check = (tuple(p for p in several if p in there) for several in (periods.search, periods.check))
    if not search or not check:
        raise PlanError("every period of the search or of the check was skipped by an operator: give a later end")
    return replace(periods, search=search, check=check)
