"""Compare: the gate judges every strategy on the newest prequential scores, paired row by row.

In this order: the scored rows of this night and of as many before it as the gate looks at are read, without those of strategies
that failed then; each night's rows are paired with those of what served; the gate decides (`gate/__init__.py` says how); failures of
this night and a pin are applied. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nightloop.tasks.data.vocabulary import vocabulary_from_bytes
from nightloop.tasks.gate.decide import decide
from nightloop.tasks.gate.evidence import Evidence
from nightloop.tasks.gate.policy import moved_by_hand, reference_label, with_failures, with_pin
from nightloop.tasks.lake.periods import period as period_at
from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import ChampionRef, StrategyScores, TrainingFailure
from nightloop.tasks.record.night_context import Night, walk_back
from nightloop.tasks.record.outcomes import Decision
from nightloop.tasks.resources import open_store

RARE = "(rare values)"


@task("compare {night.name}")
def compare(night: Night, scores: Mapping[str, StrategyScores], failed: Mapping[str, TrainingFailure]) -> Decision:
    """The gate's decision on the evidence that the chain carries, this night's included.

    A night in which a strategy failed does not count as evidence for it, and does not promote it.
    """
    objects, plan, before = open_store(), night.plan, night.previous
    incumbent = night.champion.strategy if night.champion else None
    nights = [(night.period, night.champion, _drop_failed(scores, failed))] if scores else []
    for link in walk_back(objects, night.previous):
        if len(nights) >= max(plan.gate.evidence_nights, 2):  # the night before says which users are the same
            break
        if link.scores:
            nights.append((link.period, link.served, _drop_failed(link.scores, link.failed)))
    values = _slice_values(objects, night)
    evidence = [_evidence(objects, plan, incumbent, values, *night_scores) for night_scores in reversed(nights)]
    rule = plan.gate.model_copy(update={"metric": plan.leading_metric})
    carried = before.evidence if before else None
    decision = decide(rule, plan.family, incumbent, evidence, carried, moved_by_hand(_champions(objects, night)))
    return with_pin(with_failures(decision, failed), night.pinned)


def _champions(objects: Objects, night: Night) -> list[ChampionRef | None]:
    """Who served after the newest scored night and after each night that was skipped since, and who serves now."""
    champions = [night.champion]
    for link in walk_back(objects, night.previous):
        champions.append(link.champion)
        if link.scores:
            break
    return champions[::-1]


def _drop_failed(
    scores: Mapping[str, StrategyScores], failed: Mapping[str, TrainingFailure]
) -> dict[str, StrategyScores]:
    return {label: scored for label, scored in scores.items() if label not in failed}


def _slice_values(objects: Objects, night: Night) -> dict[str, list[str]]:
    """By column of the plan's slices: the value of each code. The row that rare values share has no value."""
    if not night.plan.gate.slices:
        return {}
    ids = vocabulary_from_bytes(blobs.get(objects, night.vocabulary)).ids
    return {column: [value or RARE for value in ids[column].to_pylist()] for column in night.plan.gate.slices}


def _evidence(
    objects: Objects,
    plan: Plan,
    incumbent: str | None,
    values: Mapping[str, Sequence[str]],
    period: int,
    served: ChampionRef | None,
    scores: Mapping[str, StrategyScores],
) -> Evidence:
    """One night's scored rows: those of the challengers and those of the reference that they must beat."""
    rows = {label: from_bytes(blobs.get(objects, s.blob)) for label, s in scores.items() if label in plan.strategies}
    reference = reference_label(plan, incumbent, served, scores)
    against = from_bytes(blobs.get(objects, scores[reference].blob)) if reference else None
    return Evidence(period, against, rows, period_at(plan.periods, period).name, values)
