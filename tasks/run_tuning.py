"""Run a tuning: turn the results of cells into trials, check the choice, and publish the new plan and the report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from nightloop.tasks.artifacts import show_markdown, show_table
from nightloop.tasks.bakeoff.early_stop import running_means
from nightloop.tasks.bakeoff.results import paired_gap
from nightloop.tasks.bakeoff.run_result import RunResult, scored_rows_of
from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.objects.stored_plans import store_plan
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.load import read_form, read_yaml
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.due import root_period
from nightloop.tasks.reports.format import escape_markdown
from nightloop.tasks.reports.stored_report import save_document
from nightloop.tasks.reports.table import as_records
from nightloop.tasks.resources import open_store, plan_file, read
from nightloop.tasks.tuning.search import SettingTrial
from nightloop.tasks.tuning.spaces import SettingValues
from nightloop.tasks.tuning.tuned_plan import refuse_edited, tuned_document, tuned_path, write_tuned_plan
from nightloop.tasks.tuning.tuning_page import how_it_was_found, trials_table, tuning_headline, tuning_page
from nightloop.tasks.tuning.tuning_result import TuningResult, chosen_in_words, strategy_in_words, tuning_document


def trial_of(
    plan: Plan, metric: str, kind: str, settings: SettingValues, outcome: RunResult, periods: Sequence[int]
) -> SettingTrial:
    """How these settings did on the periods."""
    running = _running(plan, metric, kind, outcome, periods)
    stopped = outcome.stopped_at >= 0
    return SettingTrial(
        settings, running, stopped, outcome.failed, outcome.start_seconds + sum(outcome.seconds.values())
    )


def mean_over(plan: Plan, metric: str, kind: str, outcome: RunResult, periods: Sequence[int]) -> float:
    """The mean of the metric over all rows of the periods."""
    running = _running(plan, metric, kind, outcome, periods)
    return running[max(running)] if running else float("nan")


def _running(plan: Plan, metric: str, kind: str, outcome: RunResult, periods: Sequence[int]) -> dict[int, float]:
    rows = scored_rows_of(open_store(), outcome, periods)
    return running_means(rows, kind, metric, plan.family, plan.ranking.k)


def gain_over(metric: str, kind: str, after: RunResult, before: RunResult, periods: Sequence[int]) -> Difference | None:
    """`after` minus `before` on the same rows, plus is better; None if there are too few users."""
    first, second = (scored_rows_of(open_store(), outcome) for outcome in (after, before))
    return paired_gap([(first, second)], periods, kind, metric)


def place_of_plan(plan: str, out: str) -> Path:
    """Where the tuned plan goes: `out`, or beside the plan. Raises PlanError if the file there was edited or is in use."""
    source, settings = plan_file(plan), Settings()
    others = [
        place.resolve() for place in (settings.plan_places[-1], settings.deployed_plans)
    ]  # nobody edits plans there
    writable = os.access(source.parent, os.W_OK) and source.parent.resolve() not in others
    path = Path(out) if out else tuned_path(source, writable, settings.plan_places[1])
    if path.suffix not in (".yaml", ".yml"):
        raise PlanError(f"out: given {out[:200]!r}; the new plan is a file that ends in .yaml")
    _refuse_in_use(path)
    return path.absolute()


def _refuse_in_use(path: Path) -> None:
    """Raise PlanError if a person edited the plan in this file, or if its pipeline has nights."""
    refuse_edited(path)
    if path.exists() and has_nights(in_use := read_form(path)):
        raise PlanError(
            f"{path} is the plan of the pipeline {in_use.pipeline}, which has nights; tuning would replace it: give another file (--out)"
        )


@task("publish the tuned plan")
def publish_tuning(given: str, path: Path, result: TuningResult) -> dict[str, JsonValue]:
    """Write the tuned plan if a setting is better than the plan's own, and the report; show both in the UI."""
    pipeline, document = result.plan.pipeline, tuning_document(result)
    files = save_document(open_store(), pipeline, "tuning", document, lambda: tuning_page(result))
    sentences = [sentence for one in result.strategies for sentence in (strategy_in_words(one), chosen_in_words(one))]
    lines = [tuning_headline(result), how_it_was_found(result), *filter(None, sentences)]
    advice = _write_plan(given, path, result, lines) if result.has_gain else ["No plan was written."]
    for one in result.strategies:
        show_table(f"{pipeline}-tuning-{one.label}", strategy_in_words(one), as_records(trials_table(one)))
    text = [f"- {line}" for line in [*lines, *advice]]
    show_markdown(f"{pipeline}-tuning", tuning_headline(result), "\n".join(escape_markdown(line, 800) for line in text))
    return {
        **document,
        "plan": str(path) if result.has_gain else None,
        **files,
        "text": "\n".join([*text, f"report: file://{files['report']}"]),
    }


def _write_plan(given: str, path: Path, result: TuningResult, lines: Sequence[str]) -> list[str]:
    _refuse_in_use(path)  # once more: a search takes minutes or days
    if read(given) != result.plan:
        raise ConflictError(
            f"the plan {given[:200]} was edited while it was tuned, so no new plan was written: run it again; trials that the edit "
            "does not concern are not run again"
        )
    pipeline = result.plan.pipeline
    names = (pipeline, *(f"{pipeline[:54]}-tuned{number}" for number in ("", *(f"-{n}" for n in range(2, 100)))))
    renamed = (result.plan.model_copy(update={"pipeline": name}) for name in names)
    name = next((plan.pipeline for plan in renamed if not has_nights(plan)), names[-1])
    raw = read_yaml(plan_file(given))
    write_tuned_plan(path, tuned_document(raw, result.tuned, name), [*lines, f"Tried from the plan {given}."])
    own = f"The nights of {pipeline} stay as they are, so the tuned plan is a pipeline of its own, {name}"
    why = own if name != pipeline else "It applies from the root night"
    stored = store_plan(open_store(), name, path.read_bytes())
    return [
        f"The tuned plan is {path}. {why}: nightloop backfill {shlex.quote(str(path))}",
        f"On other machines that see the store, its name is {stored}",
    ]


def has_nights(plan: Plan) -> bool:
    """Whether the pipeline has a night already."""
    return manifest_store.current_manifest(open_store(), plan.pipeline, root_period(plan)) is not None
