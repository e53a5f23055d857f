"""Search rounds: run the trials of a tuning, a round at a time, until the budget is over, and check what was chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from nightloop.flows.bakeoff import WorkerPool
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks.bakeoff.jobs import JobTable, candidate_job, cell_job, start_job
from nightloop.tasks.bakeoff.run_result import CLICKS, RunResult
from nightloop.tasks.bakeoff.worker import Job, end_workers
from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.reports.format import plural, seconds
from nightloop.tasks.run_bakeoff import prepare_jobs, remaining_jobs, run_cell
from nightloop.tasks.run_tuning import gain_over, mean_over, trial_of
from nightloop.tasks.tuning.search import SettingSearch, SettingTrial
from nightloop.tasks.tuning.search_periods import SearchPeriods
from nightloop.tasks.tuning.spaces import (
    SearchedStrategy,
    SettingValues,
    apply_settings,
    current_settings,
    entrant_of,
)
from nightloop.tasks.tuning.tuning_result import TunedStrategy

NOT_BETTER = "the plan's own settings stay: none that was tried is better on the periods of the search"
NOT_CONFIRMED = "the plan's own settings stay: the best of the search is no better on the periods of the check"
NO_TIME = "the plan's own settings stay: the budget was over before a setting was tried"


@dataclass(frozen=True)
class SearchRun:
    """What all trials share."""

    table: JobTable  # with the plan as it was given
    periods: SearchPeriods
    metric: str
    pool: WorkerPool
    most: int  # trials for each strategy
    prepared: set[str] = field(default_factory=set)  # keys of inputs that this run made already

    @property
    def kind(self) -> str:
        """The kind of scored rows."""
        return self.table.kinds[0] if self.table.kinds else CLICKS

    def whole_job(self, plan: Plan, label: str) -> Job:
        """The replay of all periods, those of the check included, under this plan."""
        return cell_job(replace(self.table, plan=plan), entrant_of(plan, label), plan.seed)

    def mean(self, outcome: RunResult) -> float:
        """The metric on the periods of the check."""
        return mean_over(self.table.plan, self.metric, self.kind, outcome, self.periods.check)


def tune_in_order(
    run: SearchRun, searched: Sequence[SearchedStrategy], budget: float
) -> tuple[Plan, list[TunedStrategy]]:
    """The tuned plan, and what was found for each strategy. `budget`: seconds from now.

    The strategy that shares its search with the model and the pre-training comes first and has half of the time; the others
    follow, side by side, with the model and the weights that were chosen.
    """
    began, plan = time.monotonic(), run.table.plan
    before = _own_outcomes(run, plan, searched)
    took = time.monotonic() - began
    if took >= budget:
        raise PlanError(
            f"budget: {budget / 60:g} minutes were over before a setting was tried: the replay of the plan's own settings over "
            f"{plural(len(run.table.after), 'period')} took {seconds(took)}. Give at least {took / 15:.1f}, or an earlier end"
        )
    shared, others = searched[: int(searched[0].shares)], searched[int(searched[0].shares) :]
    tuned, found = plan, list[TunedStrategy]()
    for stage, share in ((shared, 0.5 if others else 1.0), (others, 1.0)):
        if stage:
            changed = (tuned.model, tuned.pretrain) != (plan.model, plan.pretrain)
            base = _own_outcomes(run, tuned, stage) if changed else before
            searches = [_new_search(run, tuned, one, base[one.label]) for one in stage]
            run_rounds(run, tuned, searches, began + share * budget)
            for search in searches:
                one = check_choice(run, tuned, search, before[search.searched.label], base[search.searched.label])
                found.append(one)
                tuned = apply_settings(tuned, one.label, one.settings)
    return tuned, found


def run_rounds(run: SearchRun, plan: Plan, searches: Sequence[SettingSearch], deadline: float) -> None:
    """Propose, run and learn, until every search has had its trials or the time is over."""
    while time.monotonic() < deadline:
        rounds = [(search, search.propose(run.most - len(search.trials))) for search in searches]
        jobs = [
            _trial_job(run, plan, search, settings, len(search.trials) + 1 + place)
            for search, proposed in rounds
            for place, settings in enumerate(proposed)
        ]
        if not jobs:
            return
        outcomes = iter(run_cells(run, plan, jobs, deadline))
        late = time.monotonic() >= deadline
        for search, proposed in rounds:
            search.learn([_trial(run, settings, next(outcomes), late) for settings in proposed])


def check_choice(
    run: SearchRun, plan: Plan, search: SettingSearch, before: RunResult, base: RunResult
) -> TunedStrategy:
    """The best settings of a search if they are better than the plan's own on the periods of the check as well.

    `before`: the replay of the plan as it was given; `base`: that of `plan`, whose model may be tuned already.
    """
    label, sign, best = search.searched.label, direction(search.metric), search.best
    chosen, reason = base, NO_TIME if not search.trials else NOT_BETTER if best is search.own else ""
    if not reason:
        tuned = apply_settings(plan, label, best.settings)
        (outcome,) = run_cells(run, tuned, [_with_title(run.whole_job(tuned, label), f"{label}, check of the choice")])
        confirmed = not outcome.failed and sign * run.mean(outcome) > sign * run.mean(base)
        chosen, reason = (outcome, "") if confirmed else (base, NOT_CONFIRMED)
    gain = gain_over(search.metric, run.kind, chosen, before, run.periods.check)
    settings = {} if reason else best.settings
    return TunedStrategy(search, settings, run.mean(before), run.mean(chosen), gain, reason)


def run_cells(run: SearchRun, plan: Plan, jobs: Sequence[Job], deadline: float | None = None) -> list[RunResult]:
    """The results of cells, in order; those of earlier runs are read. After the deadline none starts, and all are ended."""
    done, todo = remaining_jobs(jobs)
    if todo:
        _prepare(run, plan)
        compute = run.pool.compute if deadline is None else partial(_compute_until, deadline, run.pool.compute)
        results = side_by_side(lambda job: run_cell(job, compute), todo, run.pool.workers)
        done |= {job.key: outcome for job, outcome in zip(todo, results, strict=True)}
    return [done[job.key] for job in jobs]


def _compute_until(deadline: float, compute: Callable[[Job], None], job: Job) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ConflictError("the budget was over")
    timer = threading.Timer(left, end_workers)
    timer.daemon = True
    timer.start()
    try:
        compute(job)
    finally:
        timer.cancel()


def _prepare(run: SearchRun, plan: Plan) -> None:
    """Make what many trials share: the candidates, and the weights that this plan starts from."""
    table = replace(run.table, plan=plan)
    jobs = [start_job(table, plan), *([candidate_job(run.table, plan.seed)] if run.table.kinds else [])]
    missing = [job for job in jobs if job.key not in run.prepared]
    side_by_side(lambda job: prepare_jobs(job, run.pool.compute), missing, run.pool.workers)
    run.prepared.update(job.key for job in missing)


def _own_outcomes(run: SearchRun, plan: Plan, searched: Sequence[SearchedStrategy]) -> dict[str, RunResult]:
    """By label the replay of all periods under this plan. Raises ConflictError if one fails."""
    jobs = [_with_title(run.whole_job(plan, one.label), f"{one.label}, the plan's settings") for one in searched]
    outcomes = {one.label: outcome for one, outcome in zip(searched, run_cells(run, plan, jobs), strict=True)}
    for label, outcome in outcomes.items():
        if outcome.failed:
            raise ConflictError(
                f"{label} fails with the plan's own settings, so that nothing can be compared with them: {outcome.failed}. "
                "Correct them, or tune the other strategies alone: give their labels as --strategies"
            )
    return outcomes


def _new_search(run: SearchRun, plan: Plan, searched: SearchedStrategy, base: RunResult) -> SettingSearch:
    own = trial_of(plan, run.metric, run.kind, {}, base, run.periods.search)
    return SettingSearch(searched, run.metric, plan.seed, replace(own, settings=current_settings(plan, searched)))


def _trial_job(run: SearchRun, plan: Plan, search: SettingSearch, settings: SettingValues, number: int) -> Job:
    label, last = search.searched.label, run.periods.search[-1]
    changed = apply_settings(plan, label, settings)
    table = replace(run.table.until(last), plan=changed)
    rule = search.stop_rule(run.kind, run.periods.search)
    return _with_title(cell_job(table, entrant_of(changed, label), changed.seed, rule), f"{label}, trial {number}")


def _trial(run: SearchRun, settings: SettingValues, outcome: RunResult, late: bool) -> SettingTrial | None:
    """The trial; None if the end of the budget ended it."""
    if outcome.failed and late:
        return None
    return trial_of(run.table.plan, run.metric, run.kind, settings, outcome, run.periods.search)


def _with_title(job: Job, title: str) -> Job:
    return job.model_copy(update={"title": title})
