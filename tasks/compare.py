"""Compare: the gate judges every strategy on the newest prequential scores, paired row by row."""

from __future__ import annotations

from collections.abc import Mapping

from nightloop.tasks.gate.decide import Decision, decide
from nightloop.tasks.gate.evidence import Evidence
from nightloop.tasks.gate.policy import reference_label, with_failures, with_pin
from nightloop.tasks.lake.periods import period as period_at
from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.leading_metric import leading_metric
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import ChampionRef, StrategyScores, TrainingFailure
from nightloop.tasks.record.night_context import Night, walk_back
from nightloop.tasks.resources import open_store


@task("compare {night.name}")
def compare(night: Night, scores: Mapping[str, StrategyScores], failed: Mapping[str, TrainingFailure]) -> Decision:
    """The gate's decision on the last nights of evidence, this one included.

    A night in which a strategy failed does not count as evidence for it, and does not promote it.
    """
    objects, plan = open_store(), night.plan
    incumbent = night.champion.strategy if night.champion else None
    nights = [(night.period, night.champion, _drop_failed(scores, failed))] if scores else []
    for link in walk_back(objects, night.previous):
        if len(nights) >= plan.gate.evidence_nights:
            break
        if link.scores:
            nights.append((link.period, link.served, _drop_failed(link.scores, link.failed)))
    evidence = [_evidence(objects, plan, incumbent, *night_scores) for night_scores in reversed(nights)]
    leading = leading_metric(plan.gate.metric, plan.family == "ctr", plan.ranking.k)
    decision = decide(plan.gate.model_copy(update={"metric": leading}), plan.family, incumbent, evidence)
    return with_pin(with_failures(decision, failed), night.pinned)


def _drop_failed(
    scores: Mapping[str, StrategyScores], failed: Mapping[str, TrainingFailure]
) -> dict[str, StrategyScores]:
    return {label: scored for label, scored in scores.items() if label not in failed}


def _evidence(
    objects: Objects,
    plan: Plan,
    incumbent: str | None,
    period: int,
    served: ChampionRef | None,
    scores: Mapping[str, StrategyScores],
) -> Evidence:
    """One night's scored rows: those of the challengers and those of the reference that they must beat."""
    rows = {label: from_bytes(blobs.get(objects, s.blob)) for label, s in scores.items() if label in plan.strategies}
    reference = reference_label(plan, incumbent, served, scores)
    against = from_bytes(blobs.get(objects, scores[reference].blob)) if reference else None
    return Evidence(period, against, rows, period_at(plan.periods, period).name)
