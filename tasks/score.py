"""Score: evaluate every checkpoint of yesterday on this period, before any strategy learns from it."""

from __future__ import annotations

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import Candidates, sample_candidates
from nightloop.tasks.evaluation.score_period import scored_period
from nightloop.tasks.evaluation.summary import summarize_metrics
from nightloop.tasks.gate.evidence import SLICE
from nightloop.tasks.modules.checkpoint import from_bytes, to_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.record import step_cache
from nightloop.tasks.record.load_logs import logs_of, pairs_of
from nightloop.tasks.record.manifest import CHAMPION, CheckpointRef, StrategyScores
from nightloop.tasks.record.night_context import Night, history
from nightloop.tasks.record.step_keys import score_key
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.retraining.strategy import ALL_HISTORY


@task("score {night.name}")
def score(night: Night) -> dict[str, StrategyScores]:
    """Score every strategy's checkpoint of the night before, and the champion, on this night's rows. Empty at the root."""
    if night.previous is None:
        return {}
    objects = open_store()
    checkpoints = dict(night.previous.checkpoints)
    if night.champion:
        checkpoints[CHAMPION] = night.champion.checkpoint
    read = history(objects, night, ALL_HISTORY)
    keys = {label: score_key(night, k, read) for label, k in checkpoints.items()}
    results = {key: step_cache.cached_result(objects, night.plan.pipeline, key, "score") for key in keys.values()}
    if not all(results.values()):
        with open_lake(night.plan) as warehouse:
            logs = logs_of(objects, warehouse, night, night.logs)
            candidates = None  # clicks are scored as they are
            if night.plan.family == "ranking":
                taken = pairs_of(objects, warehouse, night, [r for r in read if r.period < night.period])
                candidates = sample_candidates(logs, taken, night.plan.ranking)  # the same for everyone who is scored
        for label, key in keys.items():  # equal checkpoints have equal keys: what serves is scored once
            if not results[key]:
                result = _score_checkpoint(objects, night, checkpoints[label], logs, candidates).model_dump()
                results[key] = step_cache.store_result(objects, night.plan.pipeline, key, "score", result)
    return {label: StrategyScores.model_validate(results[key]) for label, key in keys.items()}


def _score_checkpoint(
    objects: Objects, night: Night, checkpoint: CheckpointRef, logs: Logs, candidates: Candidates | None
) -> StrategyScores:
    plan, model = night.plan, assemble(night.plan).model
    weights = from_bytes(blobs.get(objects, checkpoint.weights))
    rows = scored_period(model, weights, logs, candidates)
    rows |= {f"{SLICE}{column}": logs.rows[:, logs.fields.index(column)].clone() for column in plan.gate.slices}
    return StrategyScores(
        blob=blobs.put(objects, to_bytes(rows)), means=summarize_metrics(rows, plan.family, plan.ranking.k)
    )
