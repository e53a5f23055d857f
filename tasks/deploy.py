"""Deploy: smoke-test the winner in a fresh process, and write the night's manifest last.

A winner that fails gives way to the next best; if the plan requires approval, the champion stays. The live champion moves after the
manifest is written, in `tasks/move_champion.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nightloop.tasks.gate.policy import SmokeResult, next_champion, with_smoke_test
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.load_logs import store_taken_items
from nightloop.tasks.record.manifest import Manifest, StrategyScores, TrainedCheckpoint, failed_in
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.outcomes import Decision, complete_night, record_night
from nightloop.tasks.resources import credentials, open_lake, open_store
from nightloop.tasks.serving.smoke import smoke


@task("deploy {night.name}")
def deploy(
    night: Night, scores: Mapping[str, StrategyScores], trained: Mapping[str, TrainedCheckpoint], decision: Decision
) -> Manifest:
    """Write the night's manifest and return it. From then on the night exists."""
    objects, settings = open_store(), Settings()
    checkpoints = {label: result.kept for label, result in trained.items()}

    def test(winner: str) -> SmokeResult:
        return smoke(settings, night.plan, checkpoints[winner], night.vocabulary, credentials=credentials(settings))

    tested = with_smoke_test(decision, night.champion.strategy if night.champion else None, test)
    champion = next_champion(night, tested.winner, checkpoints)
    manifest = complete_night(night, scores, checkpoints, tested, champion, failed_in(trained))
    if night.plan.excludes_taken:
        with open_lake(night.plan) as warehouse:
            manifest = manifest.model_copy(update={"taken": store_taken_items(objects, warehouse, night)})
    record_night(objects, night, manifest)
    return manifest
