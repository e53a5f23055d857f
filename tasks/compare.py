"""Compare: weigh the newest honest numbers, paired row by row, and let the gate judge every strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nightloop.tasks.gate.decide import Decision, decide
from nightloop.tasks.gate.evidence import Evidence
from nightloop.tasks.lake.periods import period as period_at
from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.leading_metric import leading_metric
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import CHAMPION, ChampionRef, Failed, Judged, Scored
from nightloop.tasks.record.night_context import Night, walk_back
from nightloop.tasks.resources import open_store


@task("compare {night.name}")
def compare(night: Night, scores: Mapping[str, Scored], failed: Mapping[str, Failed]) -> Decision:
    """The gate's decision on the last nights of evidence, this one included.

    A night in which a strategy failed is no evidence for it, and does not promote it.
    """
    objects, plan = open_store(), night.plan
    incumbent = night.champion.strategy if night.champion else None
    nights = [(night.period, night.champion, _without(scores, failed))] if scores else []
    for link in walk_back(objects, night.previous):
        if len(nights) >= plan.gate.evidence_nights:
            break
        if link.scores:
            nights.append((link.period, link.served, _without(link.scores, link.failed)))
    evidence = [_evidence(objects, plan, incumbent, *one) for one in reversed(nights)]
    leading = leading_metric(plan.gate.metric, plan.family == "ctr", plan.ranking.k)
    decision = decide(plan.gate.model_copy(update={"metric": leading}), plan.family, incumbent, evidence)
    decision = replace(decision, judged={**decision.judged, **{name: _failed(why) for name, why in failed.items()}})
    return _held(decision, night.pinned) if night.pinned else decision


def _without(scores: Mapping[str, Scored], failed: Mapping[str, Failed]) -> dict[str, Scored]:
    return {label: scored for label, scored in scores.items() if label not in failed}


def _failed(why: Failed) -> Judged:
    """What is said of a strategy that failed in this night."""
    what = "It broke" if why.kind == "error" else "It could not learn"
    reason = f"{what} in this night and keeps its last checkpoint: {why.reason}"
    return Judged(verdict="insufficient_evidence", reasons=(reason,), numbers={})


def _evidence(
    objects: Objects,
    plan: Plan,
    incumbent: str | None,
    period: int,
    served: ChampionRef | None,
    scores: Mapping[str, Scored],
) -> Evidence:
    """One night's scored rows, the challengers' beside those of what they must beat."""
    rows = {label: from_bytes(blobs.get(objects, s.blob)) for label, s in scores.items() if label in plan.strategies}
    reference = reference_label(plan, incumbent, served, scores)
    against = from_bytes(blobs.get(objects, scores[reference].blob)) if reference else None
    return Evidence(period, against, rows, period_at(plan.periods, period).name)


def reference_label(
    plan: Plan, incumbent: str | None, served: ChampionRef | None, scores: Mapping[str, Scored]
) -> str | None:
    """Whose scores of a night challengers are held against.

    What really served, where it was the incumbent's; the incumbent's own scores of a night that somebody else served; while
    nobody serves, the control that never learns; else None, and nothing can be told.
    """
    if incumbent is None:
        return next((n for n, part in plan.strategies.items() if part.use == "NoUpdate" and n in scores), None)
    if served and served.strategy == incumbent and CHAMPION in scores:
        return CHAMPION
    return incumbent if incumbent in scores else None


def _held(decision: Decision, why: str) -> Decision:
    """The same evidence, but no promotion: a person pinned the champion."""
    reason = f"The champion is pinned ({why}). The gate may move it again after nightloop promote --unpin."
    judged = {
        label: Judged(verdict="hold", reasons=(reason, *j.reasons), numbers=j.numbers) if j.verdict == "promote" else j
        for label, j in decision.judged.items()
    }
    return replace(decision, judged=judged, verdict="hold", winner=None)
