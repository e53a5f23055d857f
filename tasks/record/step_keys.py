"""Step keys: a hash of everything that the result of a night's step depends on.

A strategy whose inputs did not change is not trained again, whatever else changed in the plan. After a crash, or with a
new strategy or a changed gate, only new steps run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import JsonValue

from nightloop.tasks.plan.plan import canonical_json
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.record.manifest import CheckpointRef, PeriodLogs
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.retraining.strategy import reads_ranking


def pretrain_key(night: Night, logs: Sequence[PeriodLogs]) -> str:
    """The key of the weights that every strategy starts from."""
    return _key(night, {"step": "pretrain", "strategy": night.plan.pretrain.model_dump(mode="json")}, logs)


def retrain_key(night: Night, label: str, logs: Sequence[PeriodLogs]) -> str:
    """The key of the checkpoint of the plan's strategy `label`; `logs` are those of its lookback and histories."""
    previous = night.previous.checkpoints.get(label) if night.previous else None
    start = None if night.previous else night.plan.pretrain.model_dump(mode="json")
    inputs: dict[str, JsonValue] = {
        "step": "retrain",
        "strategy": night.plan.strategies[label].model_dump(mode="json"),
        "previous": previous.model_dump() if previous else None,
        "pretrain": start,
    }
    parts = assemble(night.plan)
    if reads_ranking(parts.strategies[label], parts.model):
        inputs["judged"] = {"ranking": night.plan.ranking.model_dump(mode="json"), "metric": night.plan.leading_metric}
    return _key(night, inputs, logs)


def score_key(night: Night, checkpoint: CheckpointRef, logs: Sequence[PeriodLogs]) -> str:
    """The key of the scores of one checkpoint on this night; `logs` are those of the whole history (what users took)."""
    inputs: dict[str, JsonValue] = {
        "step": "score",
        "weights": checkpoint.weights,
        "ranking": night.plan.ranking.model_dump(mode="json"),
    }
    if night.plan.gate.slices:
        inputs["slices"] = list(night.plan.gate.slices)
    return _key(night, inputs, logs)


def _key(night: Night, inputs: dict[str, JsonValue], logs: Sequence[PeriodLogs]) -> str:
    plan = night.plan
    shared: dict[str, JsonValue] = {
        "period": night.period,
        "columns": plan.columns.model_dump(mode="json"),
        "model": plan.model.model_dump(mode="json"),
        "seed": plan.seed,
        "vocabulary": night.vocabulary,
        "logs": [[part.period, part.digest] for part in logs],
    }
    return hashlib.sha256(canonical_json({**inputs, **shared})).hexdigest()
