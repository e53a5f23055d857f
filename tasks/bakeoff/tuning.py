"""Tuning: which of the tried options an entrant runs the test with, chosen on earlier periods alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from nightloop.tasks.bakeoff.entrants import Entrant, options_in_words, variant
from nightloop.tasks.bakeoff.results import read_finished_run
from nightloop.tasks.bakeoff.run_result import RunResult
from nightloop.tasks.evaluation.summary import direction, weighted_means
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.plan import Plan


@dataclass(frozen=True)
class Trial:
    """One combination of options of one entrant, and how it did on the periods for tuning."""

    entrant: Entrant  # as the specification has it
    options: dict[str, JsonValue]
    key: str  # of the cell
    value: float | None = None  # of the leading metric; None: it failed
    failed: str = ""

    @property
    def tried(self) -> Entrant:
        """The entrant with these options."""
        return variant(self.entrant, self.options)


def evaluate_trial(trial: Trial, plan: Plan, metric: str, kind: str, ran: tuple[RunResult, Weights]) -> Trial:
    """The trial with its value: the mean over the rows of all periods in `ran`."""
    outcome, rows = ran
    if outcome.failed:
        return Trial(trial.entrant, trial.options, trial.key, None, outcome.failed)
    means = read_finished_run(plan, plan.seed, outcome, rows, [kind]).means[kind]
    return Trial(trial.entrant, trial.options, trial.key, weighted_means(list(means.values()))[metric])


def best_trial(trials: Sequence[Trial], metric: str) -> Trial | None:
    """The trial with the best value, the first of equals; None if all failed."""
    finished = [trial for trial in trials if trial.value is not None]
    return max(finished, key=lambda t: direction(metric) * (t.value or 0.0), default=None)


def trial_record(trial: Trial, chosen: Trial | None) -> dict[str, JsonValue]:
    """A trial for the document."""
    return {
        "entrant": trial.entrant.name, "options": dict(trial.options), "words": options_in_words(trial.options),
        "value": trial.value, "failed": trial.failed, "chosen": trial is chosen,
    }  # fmt: skip
