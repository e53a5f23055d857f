"""Score: how every checkpoint of yesterday does on this period, before anyone learns from it."""

from __future__ import annotations

from tasks.lake.logs import Logs
from tasks.metrics.table import means
from tasks.models.candidates import Candidates, deal
from tasks.models.checkpoint import from_bytes, to_bytes
from tasks.models.scoring import scored_period
from tasks.open import open_lake, open_store
from tasks.orchestration import task
from tasks.store import blobs, work
from tasks.store.manifest import CHAMPION, Kept, Scored
from tasks.store.night import Night, history
from tasks.store.objects import Objects
from tasks.store.reading import logs_of, pairs_of
from tasks.store.steps import score_key
from tasks.strategies.assembly import assemble
from tasks.strategies.strategy import ALL_HISTORY


@task("score {night.name}")
def score(night: Night) -> dict[str, Scored]:
    """Every strategy's checkpoint of the night before, and what really served, on this night's rows. Empty at the root."""
    if night.previous is None:
        return {}
    objects = open_store()
    kept = dict(night.previous.checkpoints)
    if night.champion:
        kept[CHAMPION] = night.champion.checkpoint
    read = history(objects, night, ALL_HISTORY)
    keys = {label: score_key(night, k, read) for label, k in kept.items()}
    found = {key: work.done(objects, night.plan.pipeline, key, "score") for key in keys.values()}
    if not all(found.values()):
        with open_lake(night.plan) as warehouse:
            logs = logs_of(objects, warehouse, night, night.logs)
            candidates = None  # clicks are scored as they are
            if night.plan.family == "ranking":
                taken = pairs_of(objects, warehouse, night, [r for r in read if r.period < night.period])
                candidates = deal(logs, taken, night.plan.ranking)  # the same for everyone who is scored
        for label, key in keys.items():  # equal checkpoints have equal keys: what serves is scored once
            if not found[key]:
                made = _scored(objects, night, kept[label], logs, candidates).model_dump()
                found[key] = work.finish(objects, night.plan.pipeline, key, "score", made)
    return {label: Scored.model_validate(found[key]) for label, key in keys.items()}


def _scored(objects: Objects, night: Night, kept: Kept, logs: Logs, candidates: Candidates | None) -> Scored:
    plan, model = night.plan, assemble(night.plan).model
    weights = from_bytes(blobs.get(objects, kept.weights))
    rows = scored_period(model, weights, logs, candidates)
    return Scored(blob=blobs.put(objects, to_bytes(rows)), means=means(rows, plan.family, plan.ranking.k))
