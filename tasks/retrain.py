"""Retrain: update one strategy's checkpoint with the period's logs.

In this order: the checkpoint is reused if all that it depends on is the same (plan, logs, earlier checkpoint); the logs that the
strategy looks back at are read; the strategy trains (`retraining/advance.py`), twice if its own code raised an error; the new checkpoint is
written to the store, then the note that it may be reused. A strategy that fails keeps its last checkpoint, with the reason.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from nightloop.tasks.artifacts import Bar
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.progress import listening
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import DataError, NightloopError, NotReady
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.plan.safe_text import locate
from nightloop.tasks.plugins.assembly import Parts, assemble
from nightloop.tasks.record import step_cache
from nightloop.tasks.record.checkpoints import load_checkpoint, save_checkpoint
from nightloop.tasks.record.load_logs import history_logs, logs_of
from nightloop.tasks.record.manifest import CheckpointRef, TrainedCheckpoint, TrainingFailure
from nightloop.tasks.record.night_context import Night, history
from nightloop.tasks.record.step_keys import retrain_key
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.retraining.advance import fold, start_chain
from nightloop.tasks.retraining.members import TrainedPair, members_of, with_trained_member
from nightloop.tasks.retraining.strategy import lookback_of
from nightloop.tasks.runner import compute

log = logging.getLogger(__name__)
MACHINE = re.compile(
    "can't allocate memory|not enough memory|out of memory|killed by signal|exited unexpectedly|finds no GPU", re.I
)
LONGEST = 500  # characters of a reason
WORTH_SHOWING = 2.0  # seconds of training before a bar appears in the UI


@task("retrain {label} {night.name}")
def retrain(
    night: Night,
    label: str,
    start: CheckpointRef | None,
    reuse_only: bool = False,
    others: Mapping[str, TrainedCheckpoint] | None = None,
) -> TrainedCheckpoint:
    """One strategy's next checkpoint. It is reused if nothing that it depends on has changed.

    It is trained by the run's runner. `start` holds the pre-trained weights at the root and is None elsewhere. With
    `reuse_only` a strategy whose inputs changed raises DataError and is not trained. A member that is one of the `others`,
    trained this night, is not trained again.
    """
    return compute(_retrain, night, label, start, reuse_only, others or {})


def _retrain(
    night: Night, label: str, start: CheckpointRef | None, reuse_only: bool, others: Mapping[str, TrainedCheckpoint]
) -> TrainedCheckpoint:
    """`retrain`, in this process. It reads and writes nothing but the store and the lake."""
    objects, parts = open_store(), assemble(night.plan)
    read = history(objects, night, lookback_of(parts.strategies[label], parts.model))
    key = retrain_key(night, label, history_logs(objects, night) or read)
    if cached := step_cache.cached_result(objects, night.plan.pipeline, key, "retrain"):
        return TrainedCheckpoint.model_validate(cached)
    if reuse_only:
        raise DataError(
            f"{label} was not chosen, but its inputs of {night.name} changed; choose it too, or name no strategy to train all"
        )
    with open_lake(night.plan) as warehouse:
        logs = logs_of(objects, warehouse, night, read)
    parts = _with_trained_members(objects, parts, night, label, others)
    learn = _training_call(objects, parts, night, label, start, logs)
    began = time.perf_counter()
    with _training_bar(label, night):
        result = _train_twice(night, label, learn)
    seconds = time.perf_counter() - began
    if isinstance(result, Checkpoint):
        trained = save_checkpoint(objects, result, seconds)
        step_cache.store_result(objects, night.plan.pipeline, key, "retrain", trained.model_dump(exclude={"failed"}))
        return trained
    if night.previous is None:
        raise DataError(f"{label} could not learn from {night.name}: {result.reason}")
    return TrainedCheckpoint(kept=night.previous.checkpoints[label], seconds=round(seconds, 3), bytes=0, failed=result)


def _with_trained_members(
    objects: Objects, parts: Parts, night: Night, label: str, trained: Mapping[str, TrainedCheckpoint]
) -> Parts:
    """The parts, with members of the strategy that are strategies of the plan as these were trained this night."""
    strategy, previous = parts.strategies[label], night.previous
    members = members_of(strategy)[1]
    others = [name for name, made in trained.items() if not made.failed and parts.strategies[name] in members]
    if not others or (previous is not None and label not in previous.checkpoints):
        return parts
    before = load_checkpoint(objects, previous.checkpoints[label], previous.period) if previous else None
    for name in others:
        earlier = previous.checkpoints.get(name) if previous else None
        past = load_checkpoint(objects, earlier, previous.period) if earlier and previous else None
        pair = TrainedPair(past, load_checkpoint(objects, trained[name].kept, night.period))
        strategy = with_trained_member(strategy, before, parts.strategies[name], pair)
    return replace(parts, strategies={**parts.strategies, label: strategy})


def _training_call(
    objects: Objects, parts: Parts, night: Night, label: str, start: CheckpointRef | None, logs: Logs
) -> Callable[[], Checkpoint]:
    """The strategy's first step of a chain, or its next one, as a function in which only the strategy's own code runs."""
    strategy = parts.strategies[label]
    if start is not None:
        weights = load_checkpoint(objects, start, night.period).weights
        return partial(_refuse_exit, partial(start_chain, parts.model, strategy, weights, logs))
    if night.previous is None or label not in night.previous.checkpoints:
        raise NotReady(f"the predecessor of {night.name} has no checkpoint of {label}; backfill from the root")
    checkpoint = load_checkpoint(objects, night.previous.checkpoints[label], night.previous.period)
    return partial(_refuse_exit, partial(fold, parts.model, strategy, checkpoint, logs))


def _refuse_exit(learn: Callable[[], Checkpoint]) -> Checkpoint:
    """What `learn` returns. A strategy that ends the process with `sys.exit` is a strategy that fails; the night goes on."""
    try:
        return learn()
    except SystemExit as error:
        raise DataError(f"the strategy called sys.exit({error.code!r})") from error


def _train_twice(night: Night, label: str, learn: Callable[[], Checkpoint]) -> Checkpoint | TrainingFailure:
    """The next checkpoint, or the reason why the strategy's own code failed twice.

    An error of the machine (memory, disk, network, a worker process that died) is raised: the night stops, and continues
    when it is run again.
    """
    where = f"retrain {label} {night.name}"
    try:
        return learn()
    except Exception as error:
        _raise_machine_error(error, where)
        kind = type(error).__name__
        log.warning(
            "%s could not learn from %s and is tried once more: %s: %s", label, night.name, kind, _reason_of(error)
        )
    try:
        return learn()
    except (NightloopError, ArithmeticError) as error:
        _raise_machine_error(error, where)
        log.error("%s could not learn from %s: %s", label, night.name, _reason_of(error))
        return TrainingFailure(kind="failed", reason=_reason_of(error))
    except Exception as error:
        _raise_machine_error(error, where)
        log.exception("%s broke in %s, which is a fault of the strategy or of nightloop", label, night.name)
        return TrainingFailure(kind="error", reason=f"{type(error).__name__}: {_reason_of(error)}")


def _raise_machine_error(error: Exception, where: str) -> None:
    """Raise an error that comes from the machine and not from the strategy; torch raises some of these as RuntimeError."""
    of_torch = isinstance(error, RuntimeError) and MACHINE.search(str(error))
    if of_torch or isinstance(error, MemoryError | OSError | BrokenExecutor | torch.OutOfMemoryError):
        locate(error, where)
        raise error


def _reason_of(error: Exception) -> str:
    """The error's message, redacted and cut, so that it can be stored."""
    return redact(str(error)).strip()[:LONGEST] or "no message"


@contextmanager
def _training_bar(label: str, night: Night) -> Iterator[None]:
    """Show a bar during training; in the UI only if training takes long enough."""
    bar = Bar(f"{night.plan.pipeline}-{label}", f"{label} learns {night.name}", WORTH_SHOWING)
    try:
        with listening(bar.at):
            yield
    finally:
        bar.end()
