"""Pretrain: make the weights that every strategy starts from, once, at the root of a chain."""

from __future__ import annotations

import time

from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.orchestration import task
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.record import step_cache
from nightloop.tasks.record.checkpoints import save_checkpoint
from nightloop.tasks.record.load_logs import logs_of
from nightloop.tasks.record.manifest import CheckpointRef, TrainedCheckpoint
from nightloop.tasks.record.night_context import Night, history
from nightloop.tasks.record.step_keys import pretrain_key
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.retraining.advance import pretrain as pretrained
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.runner import compute_together


@task("pretrain {night.name}")
def pretrain(night: Night) -> CheckpointRef:
    """Train new weights on the root's whole history, with the plan's `pretrain` strategy."""
    return compute_together(_pretrain, night)


def _pretrain(night: Night) -> CheckpointRef:
    """`pretrain`, in this process. It reads and writes nothing but the store and the lake."""
    objects, parts = open_store(), assemble(night.plan)
    read = history(objects, night, ALL_HISTORY)
    key = pretrain_key(night, read)
    if done := step_cache.cached_result(objects, night.plan.pipeline, key, "pretrain"):
        return TrainedCheckpoint.model_validate(done).kept
    with open_lake(night.plan) as warehouse:
        logs = logs_of(objects, warehouse, night, read)
    began = time.perf_counter()
    weights = pretrained(parts.model, parts.pretrain, logs)
    trained = save_checkpoint(objects, Checkpoint(logs.period, weights), time.perf_counter() - began)
    step_cache.store_result(objects, night.plan.pipeline, key, "pretrain", trained.model_dump())
    return trained.kept
