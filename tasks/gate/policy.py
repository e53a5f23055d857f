"""Policy: what challengers are compared with, and what a failure, a pin, a smoke test and an approval change in a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from nightloop.tasks.gate.decide import reject_winner, winner_of
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import (
    CHAMPION,
    ChampionRef,
    CheckpointRef,
    Manifest,
    StrategyScores,
    StrategyVerdict,
    TrainingFailure,
)
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.outcomes import Decision, Verdict


@dataclass(frozen=True)
class SmokeResult:
    """Whether a candidate may serve, and if not, why."""

    ok: bool
    reason: str
    bug: bool = False  # the test itself failed: it says nothing about the candidate


def reference_label(
    plan: Plan, incumbent: str | None, served: ChampionRef | None, scores: Mapping[str, StrategyScores]
) -> str | None:
    """Whose scores of a night challengers are compared with.

    The scores of what served, if it was the incumbent's; the incumbent's own scores, if another strategy served that
    night. If there is no champion yet, the scores of NoUpdate. None: there are no such scores.
    """
    if incumbent is None:
        return next((n for n, part in plan.strategies.items() if part.use == "NoUpdate" and n in scores), None)
    if served and served.strategy == incumbent and CHAMPION in scores:
        return CHAMPION
    return incumbent if incumbent in scores else None


def moved_by_hand(champions: Sequence[ChampionRef | None]) -> bool:
    """Whether a person went back to older weights or to another strategy, though a night was skipped since or none ran.

    `champions`, oldest first: those that served after the newest scored night and after each one that was skipped since,
    and the one that serves now. The gate decides in none of these steps.
    """
    served = [champion for champion in champions if champion]
    return any(after.strategy != before.strategy or after.period < before.period for before, after in pairwise(served))


def with_failures(decision: Decision, failed: Mapping[str, TrainingFailure]) -> Decision:
    """The decision; a strategy that failed in this night is not promoted, and the night is no evidence for it."""
    return replace(decision, judged={**decision.judged, **{name: _failed(failure) for name, failure in failed.items()}})


def with_pin(decision: Decision, pin_reason: str) -> Decision:
    """The decision on the same evidence while a person has pinned the champion, `pin_reason`; empty: there is no pin."""
    if not pin_reason:
        return decision
    reason = f"The champion is pinned ({pin_reason}). The gate may move it again after nightloop promote --unpin."
    judged = {
        label: StrategyVerdict(verdict="hold", reasons=(reason, *j.reasons), numbers=j.numbers)
        if j.verdict == "promote"
        else j
        for label, j in decision.judged.items()
    }
    return replace(decision, judged=judged, verdict="hold", winner=None)


def with_smoke_test(decision: Decision, incumbent: str | None, test: Callable[[str], SmokeResult]) -> Decision:
    """The decision after the winner's smoke test. A winner that fails gives way to the next best, which is tested too.

    If the test itself fails, the candidate is held until it can be tested.
    """
    while (winner := decision.winner) is not None and not (result := test(winner)).ok:
        verdict: Verdict = "hold" if result.bug else "reject"
        decision = reject_winner(decision, winner, f"The smoke test failed: {result.reason}", incumbent, verdict)
    return decision


def next_champion(night: Night, winner: str | None, kept: Mapping[str, CheckpointRef]) -> ChampionRef | None:
    """The champion after a night: its winner. Without a winner, or if the plan requires approval, it does not change."""
    if winner is None or night.plan.gate.require_approval:
        return night.champion
    return ChampionRef(strategy=winner, period=night.period, checkpoint=kept[winner])


def proposed(night: Manifest) -> str:
    """The strategy that the gate would promote: of several that may be, the one that gained most. Raises PlanError for none."""
    winner = winner_of(night.judged, night.champion.strategy if night.champion else None)
    if winner is None:
        raise PlanError(
            f"the gate proposes no strategy for {night.name}; name a strategy: {', '.join(night.checkpoints)}"
        )
    return winner


def promotion_pins(strategy: str, period: str, manifest: str, pin: bool | None) -> bool:
    """Whether a promotion by hand pins its checkpoint.

    `pin` says so. If it is None: a strategy alone is not pinned, and its newer checkpoints go on serving. A period, or a
    manifest alone, names one checkpoint, which is pinned.
    """
    return bool(period) or bool(manifest and not strategy) if pin is None else pin


def _failed(failure: TrainingFailure) -> StrategyVerdict:
    verb = "It broke" if failure.kind == "error" else "It could not learn"
    reason = f"{verb} in this night and keeps its last checkpoint: {failure.reason}"
    return StrategyVerdict(verdict="insufficient_evidence", reasons=(reason,), numbers={})
