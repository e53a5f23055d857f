"""Run a bake-off: write the history, make shared weights and candidates, run every cell once, and publish the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import cast

from pydantic import JsonValue

from nightloop.tasks.artifacts import show_markdown, show_table
from nightloop.tasks.bakeoff.entrants import Entrant, EntryList, variant
from nightloop.tasks.bakeoff.history import ReplayedPeriod, uncollected_periods, validated_history
from nightloop.tasks.bakeoff.html_report import page
from nightloop.tasks.bakeoff.jobs import JobTable, cell_job
from nightloop.tasks.bakeoff.json_report import BakeoffReport, json_document
from nightloop.tasks.bakeoff.run_result import CLICKS, RunResult, scored_rows_of
from nightloop.tasks.bakeoff.shared_inputs import file_of, write_logs
from nightloop.tasks.bakeoff.splits import PeriodSplit
from nightloop.tasks.bakeoff.tables import bakeoff_in_words, leaderboard
from nightloop.tasks.bakeoff.tuning import Trial, best_trial, trial_record
from nightloop.tasks.bakeoff.tuning import evaluate_trial as judge
from nightloop.tasks.bakeoff.worker import ROWS, Job, end_workers, outcome_of, run_in_subprocess
from nightloop.tasks.lake.scratch import scratch
from nightloop.tasks.objects import blobs
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import step_cache
from nightloop.tasks.reports.format import escape_markdown
from nightloop.tasks.reports.stored_report import save_document
from nightloop.tasks.reports.table import as_markdown, as_records
from nightloop.tasks.resources import open_lake, open_store

STEP = "bake"
Compute = Callable[[Job], None]  # runs a job in a process of its own, and waits


@task("what is missing in the lake")
def missing_periods(plan: Plan, last: int) -> list[int]:
    """Periods up to `last` that the lake lacks and that must be collected first."""
    with open_lake(plan) as warehouse:
        return uncollected_periods(warehouse, plan, last)


@task("lay out the history")
def write_history(plan: Plan, last: int, directory: Path) -> tuple[ReplayedPeriod, ...]:
    """Validate the history and write it where every cell can read it. Raises PlanError if validation stops it."""
    with open_lake(plan) as warehouse:
        replay = validated_history(open_store(), warehouse, plan, last)
        write_logs(directory, replay.logs(warehouse, plan))
    return replay.periods


@task("{job.title}")
def prepare_jobs(job: Job, compute: Compute) -> None:
    """Make an input that several cells share: the candidates of a seed, or the weights of a model and a seed."""
    objects, pipeline = open_store(), job.plan.pipeline
    if job.do == "start" and (done := step_cache.cached_result(objects, pipeline, job.key, STEP)):
        job.start.write_bytes(blobs.get(objects, str(done["weights"])))
        return
    compute(job)
    if job.do == "start":
        sha = blobs.put(objects, job.start.read_bytes())
        step_cache.store_result(objects, pipeline, job.key, STEP, {"weights": sha})


def finished_result(job: Job) -> RunResult | None:
    """The cell's result from an earlier run; None if it must be run."""
    done = step_cache.cached_result(open_store(), job.plan.pipeline, job.key, STEP)
    return RunResult.model_validate(done) if done else None


@task("{job.title}")
def run_cell(job: Job, compute: Compute) -> RunResult:
    """Run one cell in a process of its own. A failed cell has a reason, and the next run tries it again."""
    try:
        compute(job)
    except RuntimeError as error:  # its process died without a result
        return RunResult(failed=str(error))
    outcome, objects = outcome_of(job), open_store()
    if outcome.failed:
        return outcome
    result = outcome.model_copy(update={"rows": blobs.put(objects, (job.room / ROWS).read_bytes())})
    done = step_cache.store_result(objects, job.plan.pipeline, job.key, STEP, result.model_dump(mode="json"))
    return RunResult.model_validate(done)


def newest_collected(plan: Plan) -> int:
    """Index of the newest period in the lake; -1: none."""
    with open_lake(plan) as warehouse:
        latest = warehouse.latest()
    return max(latest, default=-1)


@contextmanager
def shared_directory() -> Iterator[Path]:
    """A directory for the files that cells share. It is removed when the bake-off ends, or by the next one after a crash."""
    with scratch((Settings().home / "bakeoff").absolute()) as directory:
        yield directory


def tuning_jobs(table: JobTable, field: EntryList, span: PeriodSplit) -> list[tuple[Trial, Job]]:
    """Every combination of options to try, with the cell that tries it, for the first seed, up to the last tuning period."""
    early = table.until(max(span.tune_periods, default=-1))
    jobs = []
    for entrant in field.entrants:
        for options in field.variants.get(entrant.label, ()):
            job = cell_job(early, variant(entrant, options), field.seeds[0])
            jobs.append((Trial(entrant, options, job.key), job))
    return jobs


def choose_options(
    field: EntryList, span: PeriodSplit, tried: Sequence[tuple[Trial, Job]], outcomes: Mapping[str, RunResult]
) -> tuple[list[Entrant], list[dict[str, JsonValue]]]:
    """The entrants with their best options, and the record of all trials. Raises PlanError if all trials failed."""
    judged = []
    for trial, job in tried:
        ran = (outcome := outcomes[job.key], scored_rows_of(open_store(), outcome, span.tune_periods))
        judged.append(judge(trial, job.plan, field.metric, next(iter(job.kinds), CLICKS), ran))
    entrants, records = [], []
    for entrant in field.entrants:
        trials = [trial for trial in judged if trial.entrant == entrant]
        chosen = best_trial(trials, field.metric)
        if trials and chosen is None:
            raise PlanError(f"tune.{entrant.label}: every combination failed, the first with: {trials[0].failed}")
        entrants.append(chosen.tried if chosen else entrant)
        records += [trial_record(trial, chosen) for trial in trials]
    return entrants, records


@task("report of the bake-off")
def publish_report(bake: BakeoffReport) -> dict[str, JsonValue]:
    """Store the JSON document, write it and the HTML page into the reports directory, and show both in the UI."""
    pipeline, document = bake.results.plan.pipeline, json_document(bake)
    files = save_document(open_store(), pipeline, "bakeoff", document, lambda: page(bake))
    tables = [leaderboard(bake, kind) for kind in bake.kinds] if bake.results.ran else []
    advised = [str(advice) for advice in cast("list[str]", document["advice"])]
    for kind in bake.kinds if bake.results.ran else ():
        records = as_records(leaderboard(bake, kind))
        show_table(f"{pipeline}-bakeoff-{kind}", f"Bake-off of {pipeline}: {advised[0]}", records)
    text = "\n".join([*(f"- {escape_markdown(advice, 600)}" for advice in advised), "", *map(as_markdown, tables)])
    show_markdown(f"{pipeline}-bakeoff", f"Bake-off of {pipeline}", text)
    return {**document, **files, "text": bakeoff_in_words(bake, advised, files["report"])}


def jobs_on_cluster(send: Callable[..., dict[str, str]]) -> Compute:
    """Run jobs on a cluster that has no disk in common with this machine: what they read and write goes through the store.

    `send(function, *args)` calls the function on a worker. A file that several jobs read is stored once.
    """
    stored: dict[str, str] = {}
    lock = Lock()

    def store(file: Path) -> str:
        with lock:
            if file.name not in stored:
                stored[file.name] = blobs.put(open_store(), file.read_bytes())
        return stored[file.name]

    def run(job: Job) -> None:
        made = send(run_stored_job, job, {file.name: store(file) for file in job.place.iterdir() if _reads(job, file)})
        job.room.mkdir(parents=True, exist_ok=True)
        for name, sha in made.items():
            (job.place / name).write_bytes(blobs.get(open_store(), sha))

    return run


def run_stored_job(job: Job, files: Mapping[str, str]) -> dict[str, str]:
    """Run a job on a worker, in a directory of its own, with `files` from the store; its new files by their blobs."""
    objects = open_store()
    with scratch((Settings().home / "bakeoff").absolute()) as place:
        for name, sha in files.items():
            (place / name).write_bytes(blobs.get(objects, sha))
        here = job.model_copy(update={"place": place})
        try:
            run_in_subprocess(here)
        finally:
            end_workers()  # of this worker: the run was cancelled
        made = [file for file in place.rglob("*.*") if file.is_file() and file.name not in (*files, "job.json")]
        return {str(file.relative_to(place)): blobs.put(objects, file.read_bytes()) for file in made}


def _reads(job: Job, file: Path) -> bool:
    """Whether the job reads this file of the shared directory."""
    if not file.is_file():
        return False
    if file.name.startswith("candidates-"):
        return job.do == "cell" and any(
            file == file_of(job.place, p, job.plan.seed, k) for p in job.periods for k in job.kinds
        )
    return file == job.start if file.name.startswith("start-") else True


def remaining_jobs(jobs: Sequence[Job]) -> tuple[dict[str, RunResult], list[Job]]:
    """The results of finished jobs by key, and the jobs that must be run, each once."""
    finished = {job.key: outcome for job in jobs if (outcome := finished_result(job))}
    return finished, list({job.key: job for job in jobs if job.key not in finished}.values())
