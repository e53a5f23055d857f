"""Retrain: fold the period into one strategy's checkpoint."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console
from rich.progress import Progress

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Checkpoint
from tasks.models.progress import listening
from tasks.open import open_lake, open_store
from tasks.plan.outward import guarded
from tasks.store import work
from tasks.store.checkpoints import Trained, keep, recall
from tasks.store.manifest import Kept
from tasks.store.night import Night, history
from tasks.store.objects import Objects
from tasks.store.reading import histories, logs_of
from tasks.store.steps import retrain_key
from tasks.strategies.assembly import Parts, assemble
from tasks.strategies.fold import begin, fold

WORTH_SHOWING = 2.0  # seconds of training before a progress bar appears in the UI


@task(task_run_name="retrain {label} {night.name}", cache_policy=NO_CACHE)
@guarded()
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
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar in the terminal, where somebody sits at one; it goes when the training is done."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        line = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(line, completed=done, total=total)


@contextmanager
def _shown(label: str, night: Night) -> Iterator[None]:
    """Show a progress bar in the UI for training that takes long enough to look at."""
    began, last = time.perf_counter(), 0.0
    bars: list[UUID] = []

    def show(done: int, total: int) -> None:
        nonlocal last
        draw(done, total)
        now = time.perf_counter()
        if now - began < WORTH_SHOWING or now - last < 1.0:
            return
        last, percent = now, 100.0 * done / max(total, 1)
        for bar in bars:
            update_progress_artifact(bar, percent)
        if not bars:
            key = "".join(c if c.isalnum() else "-" for c in f"{night.plan.pipeline}-{label}".lower()).strip("-")
            made = create_progress_artifact(percent, key=key, description=f"{label} learns {night.name}")
            bars.extend([made] if isinstance(made, UUID) else [])

    with _bar(f"{label} learns {night.name}") as draw, listening(show):  # show draws on the bar once it is there
        yield
    for bar in bars:
        update_progress_artifact(bar, 100.0)
