"""Bake-off: a history replayed with any strategies, models and seeds on an equal footing. It moves no champion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import Field

from nightloop.flows.pipeline_lock import hold_pipeline_lock
from nightloop.flows.run_names import run_name
from nightloop.flows.scheduled_time import scheduled_time
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks.bakeoff.entrants import Entrant, EntryList, resolve_field
from nightloop.tasks.bakeoff.jobs import JobTable, cell_job, preparations
from nightloop.tasks.bakeoff.json_report import BakeoffReport
from nightloop.tasks.bakeoff.results import FinishedRun, Results, read_finished_run
from nightloop.tasks.bakeoff.run_result import CLICKS, RunResult, scored_rows_of
from nightloop.tasks.bakeoff.spec import BakeoffSpec, load_spec, spec_error
from nightloop.tasks.bakeoff.splits import PeriodSplit, period_split
from nightloop.tasks.bakeoff.worker import Job, end_workers, run_in_subprocess
from nightloop.tasks.collect import collect
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.errors import NotReady, PlanError
from nightloop.tasks.plan.plan import Counts, Plan
from nightloop.tasks.reports.format import plural
from nightloop.tasks.resources import keep_open, open_store, read
from nightloop.tasks.run_bakeoff import (
    choose_options,
    jobs_on_cluster,
    missing_periods,
    newest_collected,
    prepare_jobs,
    publish_report,
    remaining_jobs,
    run_cell,
    shared_directory,
    tuning_jobs,
    write_history,
)
from nightloop.tasks.runner import open_cluster
from nightloop.tasks.schedule import newest_period, period_name

Runner = Annotated[str, Field(pattern=r"^(processes|dask(:[a-z]+://[!-?A-~]+)?|ray://[!-?A-~]+)$")]


@flow("bakeoff", run_name)
def bakeoff(
    plan: str = "simulated",
    strategies: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    start: str = "",
    end: str = "",
    test_periods: tuple[str, ...] = (),
    baselines: tuple[str, ...] = (),
    candidates: Literal["", "uniform", "popular", "both"] = "",
    tune: dict[str, dict[str, list[Any]]] | None = None,
    tune_periods: tuple[str, ...] = (),
    spec: str = "",
    runner: Runner = "processes",
    workers: int = 2,
) -> dict[str, Any]:
    """Replay a history with many strategies, models and seeds: same logs, same first weights, same candidates.

    Finished cells are kept: run it again, and only what is missing runs. Nothing is promoted, no night is recorded.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        strategies: Labels of the plan, or names of installed strategies; empty: all of the plan.
        models: Names of installed models (the plan's keeps its options); empty: the plan's.
        seeds: Each is a comparison of its own, with its own first weights and candidates; empty: the plan's.
        start: First period that is scored; empty: the first after the root. Learning always begins at the root.
        end: Last period; empty: the newest in the lake.
        test_periods: Names or a..b; empty: all that are scored, after the tune_periods.
        baselines: Labels that every strategy is compared with; empty: those of FineTune and FullRetrain.
        candidates: Rank against items drawn uniformly, by popularity, or both, in two tables; empty: as the spec says, or uniform.
        tune: By label, options to try: {"fine-tune": {"training.lr": [0.02, 0.1]}}.
        tune_periods: Periods on which the best is chosen; all of them before the test.
        spec: Path of a YAML file with these fields, and with parts of its own; what is given here overrides it.
        runner: processes; dask, a new local cluster; dask:tcp://HOST:PORT or ray://HOST:PORT, one that is there.
        workers: Cells that run side by side.
    """
    bakeoff_spec = load_spec(spec, {
        "strategies": list(strategies), "models": list(models), "seeds": list(seeds), "start": start, "end": end,
        "test_periods": list(test_periods), "baselines": list(baselines), "candidates": candidates, "tune": tune,
        "tune_periods": list(tune_periods),
    })  # fmt: skip
    loaded_plan = read(plan)
    with keep_open(loaded_plan):
        field, span = resolve_entrants(loaded_plan, bakeoff_spec, scheduled_time(), runner, workers)
        collect_missing(loaded_plan, span.last)
        with shared_directory() as directory, open_worker_pool(runner, workers) as pool:
            kinds = bakeoff_spec.kinds if loaded_plan.family == "ranking" else ()
            replayed = write_history(loaded_plan, span.last, directory)
            table = JobTable(loaded_plan, replayed, directory, kinds, bakeoff_spec.popular_negatives)
            entrants, tried = tune_entrants(table, field, span, pool)
            results = run_jobs(table, [cell_job(table, e, seed) for e in entrants for seed in field.seeds], pool)
        return publish_report(bakeoff_report(table, field, span, entrants, tried, results))


def resolve_entrants(
    plan: Plan, spec: BakeoffSpec, now: datetime, runner: Runner, workers: int
) -> tuple[EntryList, PeriodSplit]:
    """Which entrants are compared over which periods. Raises one PlanError that lists every mistake, before anything runs."""
    wrong = check_runner(runner, workers)
    field, counted = resolve_field(plan, spec, wrong), isinstance(plan.periods, Counts)
    last = newest_collected(plan)
    if last < plan.pretrain_periods and not spec.end and not wrong:
        last = collect_all_rows(plan) if counted else newest_period(plan, now)
    span = period_split(plan, spec, last, wrong)
    if not counted and spec.end and span.last > newest_period(plan, now):
        wrong.append(
            f"end: {spec.end} is not over yet at {now:%Y-%m-%d %H:%M %Z}; the newest is {period_name(plan, newest_period(plan, now))}"
        )
    if wrong or field is None:
        raise spec_error(wrong)
    return field, span


def check_runner(runner: Runner, workers: int) -> list[str]:
    """What is wrong with the runner or the number of workers."""
    wrong = [f"workers: given {workers}; allowed are 1 to 64"] * (not 1 <= workers <= 64)
    if runner.startswith("dask") and find_spec("distributed") is None:
        wrong.append("runner dask: install the extra first: pip install 'nightloop[bakeoff-dask]'")
    return wrong


def collect_all_rows(plan: Plan) -> int:
    """Collect every period of equal counts that the source has, if the lake has none yet. Returns the last one's index."""
    index = 0
    with hold_pipeline_lock(plan):
        while True:
            try:
                collect(plan, index)
            except LookupError:  # this one is not complete
                return index - 1
            index += 1


def collect_missing(plan: Plan, last: int) -> None:
    """Collect the periods that the lake lacks, as a night does, while holding the pipeline's lock."""
    absent = missing_periods(plan, last)
    if absent:
        with hold_pipeline_lock(plan):
            for index in absent:
                try:
                    collect(plan, index)
                except (FileNotFoundError, LookupError) as error:
                    until = (
                        f"; or end before it: --end {period_name(plan, index - 1)}"
                        if index > plan.pretrain_periods
                        else ""
                    )
                    raise NotReady(f"{period_name(plan, index)} cannot be collected: {error}{until}") from error


@dataclass(frozen=True)
class WorkerPool:
    """Where the jobs of a bake-off are computed, and how many of them at a time."""

    compute: Callable[[Job], None]
    workers: int


@contextmanager
def open_worker_pool(runner: Runner, workers: int) -> Iterator[WorkerPool]:
    """Processes of this machine, or a cluster's, with which files are exchanged through the store."""
    if runner == "processes":
        try:
            yield WorkerPool(run_in_subprocess, workers)
        finally:
            end_workers()  # after Ctrl-C some still run
        return
    with local_dask(workers) if runner == "dask" else nullcontext((runner, None)) as (address, security):
        cluster = open_cluster(address, security)
        try:
            yield WorkerPool(jobs_on_cluster(cluster.call), max(workers, cluster.workers))
        finally:
            cluster.close()


@contextmanager
def local_dask(workers: int) -> Iterator[tuple[str, Any]]:
    """A new Dask cluster of this machine: its address, and the certificates without which nobody may ask it.

    Dask runs whatever it is sent, so without them any user of the machine could run code as this one. They are made for this
    cluster and stay in memory. Its pages, which know no login, are off.
    """
    from dask import config
    from distributed import LocalCluster

    silent: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with (
        config.set(silent),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", security=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        yield f"dask:{cluster.scheduler_address}", cluster.security


def tune_entrants(
    table: JobTable, field: EntryList, span: PeriodSplit, pool: WorkerPool
) -> tuple[list[Entrant], list[dict[str, Any]]]:
    """The entrants with their best options on the tuning periods, and the record of all trials."""
    tried = tuning_jobs(table, field, span)
    if not tried:
        return list(field.entrants), []
    return choose_options(field, span, tried, run_jobs(table, [job for _, job in tried], pool))


def bakeoff_report(
    table: JobTable, field: EntryList, span: PeriodSplit, entrants: Sequence[Entrant], records: Sequence[dict[str, Any]],
    results: Mapping[str, RunResult],
) -> BakeoffReport:  # fmt: skip
    """The report of all runs. Raises PlanError if no test period passed validation."""
    replayed = {entry.period for entry in table.replayed}
    test = tuple(p for p in span.test if p in replayed)
    if not test:
        raise PlanError("every test period was skipped by an operator: give others")
    kinds = tuple(table.kinds) or (CLICKS,)
    ran: dict[str, list[FinishedRun]] = {}
    failed: dict[str, list[str]] = {}
    for entrant in entrants:
        for seed in field.seeds:
            outcome = results[cell_job(table, entrant, seed).key]
            if outcome.failed:
                failed.setdefault(entrant.name, []).append(outcome.failed)
            else:
                rows = scored_rows_of(open_store(), outcome)
                ran.setdefault(entrant.name, []).append(read_finished_run(table.plan, seed, outcome, rows, kinds))
    board = Results(table.plan, field.metric, test, {e.name: e for e in entrants}, ran, failed)
    negatives = {"uniform": table.plan.ranking.negatives, "popular": table.popular_negatives}
    return BakeoffReport(
        board, table.replayed, span, kinds, field.against, field.left_out, field.seeds, tuple(records),
        {kind: negatives[kind] for kind in table.kinds},
    )  # fmt: skip


def run_jobs(table: JobTable, jobs: Sequence[Job], pool: WorkerPool) -> dict[str, RunResult]:
    """Every job's outcome by its key. Only jobs that no earlier run finished are run, those that cells share first."""
    done, todo = remaining_jobs(jobs)
    if not todo:
        return done
    try:
        side_by_side(lambda job: prepare_jobs(job, pool.compute), preparations(table, todo), pool.workers)
        results = side_by_side(lambda job: run_cell(job, pool.compute), todo, pool.workers)
    except KeyboardInterrupt:
        finished = len(remaining_jobs(jobs)[0])
        raise KeyboardInterrupt(
            f"interrupted after {finished} of {plural(len(jobs), 'cell')}; run it again to resume"
        ) from None
    return done | {job.key: outcome for job, outcome in zip(todo, results, strict=True)}


def split_names(given: str) -> tuple[str, ...]:
    """`a, b` as a tuple."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def split_numbers(given: str) -> tuple[int, ...]:
    """`0,1,2` as a tuple. Raises PlanError if a part is no whole number."""
    try:
        return tuple(int(part) for part in split_names(given))
    except ValueError:
        raise PlanError(f"seeds: given {given[:80]!r}; give whole numbers, such as 0,1,2") from None
