"""Outcomes: the manifests a night can end in, and writing one without overwriting another run's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.manifest import (
    ChampionRef,
    CheckpointRef,
    Manifest,
    PeriodLogs,
    StrategyScores,
    StrategyVerdict,
    TermEvidence,
    TrainingFailure,
)
from nightloop.tasks.record.night_context import Night

Verdict = Literal["promote", "hold", "reject", "insufficient_evidence"]


@dataclass(frozen=True)
class Decision:
    """The verdict on each challenger, the verdict of the night, and who is to serve.

    Parameters
    ----------
    judged : mapping of str to StrategyVerdict
        By challenger: verdict, reasons and numbers.
    verdict : {"promote", "hold", "reject", "insufficient_evidence"}
        Of the night: `promote` if there is a winner.
    winner : str or None
        The challenger that is to serve; None: what serves now.
    evidence : TermEvidence or None, default None
        For the next night.
    """

    judged: Mapping[str, StrategyVerdict]
    verdict: Verdict
    winner: str | None
    evidence: TermEvidence | None = None


def complete_night(
    night: Night,
    scores: Mapping[str, StrategyScores],
    checkpoints: Mapping[str, CheckpointRef],
    decision: Decision,
    champion: ChampionRef | None,
    failed: Mapping[str, TrainingFailure],
) -> Manifest:
    """The manifest of a complete night. `checkpoints` has the last checkpoint of a failed strategy; `champion` serves next."""
    fields: dict[str, object] = {
        "scores": scores, "checkpoints": checkpoints, "judged": decision.judged, "verdict": decision.verdict,
        "champion": champion, "failed": failed, "evidence": decision.evidence,
    }  # fmt: skip
    overridden = [v.reasons[0] for v in night.validated if v.verdict == "overridden" and v.reasons]
    return _manifest(night, {**fields, "outcome": "complete", "reason": "; ".join(overridden)})


def blocked_night(night: Night) -> Manifest:
    """The manifest of a night that validation stopped. It keeps the verdict; no strategy is trained."""
    reasons = [r for v in night.validated if v.verdict == "blocked" for r in v.reasons]
    reason = "; ".join(reasons)[:2000]
    kept = {"vocabulary": None, "verdict": "insufficient_evidence"}
    return _manifest(night, {**kept, "outcome": "blocked", "reason": reason})


def skipped_night(night: Night, reason: str) -> Manifest:
    """The manifest of a period that an operator skipped. Checkpoints and vocabulary are those of the night before."""
    carried = night.previous.checkpoints if night.previous else {}
    taken = night.previous.taken if night.previous else ()
    fields = {"outcome": "skipped", "reason": reason, "checkpoints": carried, "verdict": "hold", "taken": taken}
    return _manifest(night, fields)


def _manifest(night: Night, fields: Mapping[str, object]) -> Manifest:
    common = {
        "pipeline": night.plan.pipeline,
        "period": night.period,
        "name": night.name,
        "revision": night.revision,
        "previous": night.previous.hash if night.previous else None,
        "plan": night.plan.model_dump(mode="json"),
        "logs": night.logs,
        "validated": night.validated,
        "vocabulary": night.vocabulary or None,
        "served": night.champion,
        "champion": night.champion,
        "last_act": night.last_act,
        "evidence": night.previous.evidence if night.previous else None,
        "scores": {},
        "checkpoints": {},
        "judged": {},
    }
    return Manifest.model_validate({**common, **fields})


def record_night(objects: Objects, night: Night, manifest: Manifest) -> None:
    """Write the manifest. Raises ConflictError if another run or person moved the champion or wrote this night meanwhile."""
    newest = promotion_log.known_log(objects, manifest.pipeline)
    if (newest[-1].number if newest else 0) != night.entry:
        raise ConflictError(
            f"{manifest.pipeline}: the champion was changed while {manifest.name} ran ({newest[-1].reason!r}); "
            "nothing was written. Run the night again: finished steps are reused, only the comparison is new."
        )
    publish_manifest(objects, manifest)


def publish_manifest(objects: Objects, manifest: Manifest) -> Manifest:
    """Write the manifest and return it. Raises ConflictError if another run wrote this night meanwhile."""
    if not manifest_store.create_manifest(objects, manifest):
        raise ConflictError(
            f"{manifest.pipeline}: another writer finished {manifest.name} (revision {manifest.revision}) first; "
            "its manifest is valid. `nightloop status` shows it."
        )
    return manifest


def same_night(manifest: Manifest, night: Night) -> bool:
    """Whether a recorded night read exactly what this one reads, so that running it again would change nothing.

    The champion is not compared: an act by hand that was written while the night ran counts from the next night.
    """
    recorded = (manifest.plan, manifest.previous, _clean_logs(manifest.logs), manifest.validated)
    previous = night.previous.hash if night.previous else None
    return recorded == (night.plan.model_dump(mode="json"), previous, _clean_logs(night.logs), night.validated)


def _clean_logs(logs: Sequence[PeriodLogs]) -> list[PeriodLogs]:
    """The logs without the digests of what landed, which nights of older releases do not have."""
    return [part.model_copy(update={"landed": ""}) for part in logs]


def history_statistics(chain: Sequence[Manifest]) -> list[dict[str, float]]:
    """Statistics of the periods that passed, oldest first. Bands are computed from these only."""
    return [v.statistics for m in chain if m.outcome == "complete" for v in m.validated]
