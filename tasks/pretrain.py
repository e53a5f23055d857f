"""Pretrain: make the weights that every strategy starts from, once, at the root of a chain."""

from __future__ import annotations

import time

from tasks.models.checkpoint import Checkpoint
from tasks.open import open_lake, open_store
from tasks.orchestration import task
from tasks.store import work
from tasks.store.checkpoints import keep
from tasks.store.manifest import Kept, Trained
from tasks.store.night import Night, history
from tasks.store.reading import logs_of
from tasks.store.steps import pretrain_key
from tasks.strategies.assembly import assemble
from tasks.strategies.fold import pretrain as pretrained
from tasks.strategies.strategy import ALL_HISTORY


@task("pretrain {night.name}")
def pretrain(night: Night) -> Kept:
    """Train fresh weights on the root's whole history, as the plan's `pretrain` says."""
    objects, parts = open_store(), assemble(night.plan)
    read = history(objects, night, ALL_HISTORY)
    key = pretrain_key(night, read)
    if done := work.done(objects, night.plan.pipeline, key, "pretrain"):
        return Trained.model_validate(done).kept
    with open_lake(night.plan) as warehouse:
        logs = logs_of(objects, warehouse, night, read)
    began = time.perf_counter()
    weights = pretrained(parts.model, parts.pretrain, logs)
    trained = keep(objects, Checkpoint(logs.period, weights), time.perf_counter() - began)
    work.finish(objects, night.plan.pipeline, key, "pretrain", trained.model_dump())
    return trained.kept
