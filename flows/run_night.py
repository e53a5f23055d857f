"""Run a night that passed validation: score, retrain, compare and deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nightloop.tasks.compare import compare
from nightloop.tasks.deploy import deploy
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.pretrain import pretrain
from nightloop.tasks.record.manifest import Manifest, TrainedCheckpoint, failed_in
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.reports.format import plain
from nightloop.tasks.retrain import retrain
from nightloop.tasks.retraining.members import members_of
from nightloop.tasks.score import score


def train(night: Night, only: Sequence[str] = ()) -> tuple[Manifest, Mapping[str, TrainedCheckpoint]]:
    """The night's manifest, and what each strategy made. `only`: those that may train; empty: all.

    A strategy that fails keeps its last checkpoint. Raises PlanError if all fail; nothing is recorded then.
    """
    start = pretrain(night) if night.previous is None else None
    scores = score(night)
    strategies = assemble(night.plan).strategies
    done: dict[str, TrainedCheckpoint] = {}
    for label in sorted(
        strategies, key=lambda label: bool(members_of(strategies[label])[1])
    ):  # members before wrappers
        done[label] = retrain(night, label, start, bool(only) and label not in only, done)
    trained = {label: done[label] for label in night.plan.strategies}
    failures = failed_in(trained)
    if len(failures) == len(trained):
        reasons = "; ".join(f"{label}: {failure.reason}" for label, failure in failures.items())
        raise PlanError(f"no strategy could learn from {night.name}, so nothing was recorded: {plain(reasons, 900)}")
    return deploy(night, scores, trained, compare(night, scores, failures)), trained
