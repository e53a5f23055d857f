"""Retrain: fold the period into one strategy's checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Checkpoint
from tasks.models.progress import listening
from tasks.open import open_lake, open_store
from tasks.orchestration import task
from tasks.showing import Bar
from tasks.store import work
from tasks.store.checkpoints import Trained, keep, recall
from tasks.store.manifest import Kept
from tasks.store.night import Night, history
from tasks.store.objects import Objects
from tasks.store.reading import histories, logs_of
from tasks.store.steps import retrain_key
from tasks.strategies.assembly import Parts, assemble
from tasks.strategies.fold import begin, fold

WORTH_SHOWING = 2.0  # seconds of training before a bar appears in the UI


@task("retrain {label} {night.name}")
def retrain(night: Night, label: str, start: Kept | None, reuse_only: bool = False) -> Trained:
    """One strategy's next checkpoint; the one already made where nothing it depends on has changed.

    `start` holds the pre-trained weights at the root and is None elsewhere. With `reuse_only` a strategy whose inputs did
    change is an error instead of work.
    """
    objects, parts = open_store(), assemble(night.plan)
    read = history(objects, night, parts.strategies[label].lookback)
    key = retrain_key(night, label, histories(objects, night) or read)
    if done := work.done(objects, night.plan.pipeline, key, "retrain"):
        return Trained.model_validate(done)
    if reuse_only:
        raise ValueError(
            f"{label} was not chosen, but its inputs of {night.name} changed; choose it too, or choose none for all"
        )
    with open_lake(night.plan) as warehouse:
        logs = logs_of(objects, warehouse, night, read)
    began = time.perf_counter()
    with _shown(label, night):
        checkpoint = _next(objects, parts, night, label, start, logs)
    trained = keep(objects, checkpoint, time.perf_counter() - began)
    work.finish(objects, night.plan.pipeline, key, "retrain", trained.model_dump())
    return trained


def _next(objects: Objects, parts: Parts, night: Night, label: str, start: Kept | None, logs: Logs) -> Checkpoint:
    strategy = parts.strategies[label]
    try:
        if start is not None:
            return begin(parts.model, strategy, recall(objects, start, night.period).weights, logs)
        if night.previous is None or label not in night.previous.checkpoints:
            raise LookupError(f"the predecessor of {night.name} has no checkpoint of {label}; backfill from the root")
        checkpoint = recall(objects, night.previous.checkpoints[label], night.previous.period)
        return fold(parts.model, strategy, checkpoint, logs)
    except ValueError as error:
        raise ValueError(f"{label} could not learn from {night.name}: {error}") from error


@contextmanager
def _shown(label: str, night: Night) -> Iterator[None]:
    """A bar while it trains; in the UI where that takes long enough to look at."""
    bar = Bar(f"{night.plan.pipeline}-{label}", f"{label} learns {night.name}", WORTH_SHOWING)
    try:
        with listening(bar.at):
            yield
    finally:
        bar.end()
