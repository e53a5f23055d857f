"""Deploy: try the winner in a fresh process, write the night's manifest last, then let the champion follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tasks.gate.decide import Decision
from tasks.open import credentials, open_store
from tasks.orchestration import task
from tasks.plan.settings import Settings
from tasks.serving.smoke import smoke
from tasks.store.manifest import Judged, Kept, Manifest, Scored
from tasks.store.night import Night
from tasks.store.nights import complete, record
from tasks.store.promotions import follow


@task("deploy {night.name}")
def deploy(night: Night, scores: Mapping[str, Scored], kept: Mapping[str, Kept], decision: Decision) -> Manifest:
    """The night's manifest, written: from here on the night exists."""
    objects = open_store()
    tried = _smoke_tested(night, kept, decision)
    manifest = complete(night, scores, kept, tried.judged, tried.verdict, tried.winner)
    record(objects, night, manifest)
    return manifest


@task("move the champion {manifest.name}")
def move_champion(manifest: Manifest, when: str) -> str:
    """Let the live champion follow the night; again, or after a crash, it makes sure that it did. Returns who serves."""
    moved = follow(open_store(), manifest, when)
    return f"{moved.strategy} of {moved.name}" if moved else "unchanged"


def _smoke_tested(night: Night, kept: Mapping[str, Kept], decision: Decision) -> Decision:
    """The decision, or a rejection where the winner does not load and predict the same in a fresh process."""
    if decision.winner is None:
        return decision
    settings = Settings()
    tried = smoke(settings, night.plan, kept[decision.winner], night.vocabulary, credentials=credentials(settings))
    if tried.ok:
        return decision
    failed = decision.judged[decision.winner]
    reasons = (f"The smoke test failed: {tried.reason}", *failed.reasons)
    judged = {**decision.judged, decision.winner: Judged(verdict="reject", reasons=reasons, numbers=failed.numbers)}
    return replace(decision, judged=judged, verdict="reject", winner=None)
