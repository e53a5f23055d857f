"""Deploy: try the winner in a fresh process, and write the night's manifest last."""

from __future__ import annotations

from collections.abc import Mapping

from nightloop.tasks.gate.decide import Decision, without
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import CheckpointRef, Manifest, Scored, Trained, failed_in
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.outcomes import complete, record
from nightloop.tasks.resources import credentials, open_store
from nightloop.tasks.serving.smoke import smoke


@task("deploy {night.name}")
def deploy(night: Night, scores: Mapping[str, Scored], trained: Mapping[str, Trained], decision: Decision) -> Manifest:
    """The night's manifest, written: from here on the night exists."""
    objects = open_store()
    kept = {label: one.kept for label, one in trained.items()}
    tried = _smoke_tested(night, kept, decision)
    manifest = complete(night, scores, kept, tried.judged, tried.verdict, tried.winner, failed_in(trained))
    record(objects, night, manifest)
    return manifest


def _smoke_tested(night: Night, kept: Mapping[str, CheckpointRef], decision: Decision) -> Decision:
    """The decision; a winner that does not load and predict the same in a fresh process gives way to the next best."""
    settings = Settings()
    while (winner := decision.winner) is not None:
        tried = smoke(settings, night.plan, kept[winner], night.vocabulary, credentials=credentials(settings))
        if tried.ok:
            break
        decision = without(
            decision,
            winner,
            f"The smoke test failed: {tried.reason}",
            night.champion.strategy if night.champion else None,
            "hold" if tried.bug else "reject",
        )
    return decision
