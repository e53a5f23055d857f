"""Fold: the one line that a night does once, and a backfill and a bake-off many times."""

from __future__ import annotations

from dataclasses import replace

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import state_kept, with_state, without_state
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.training.resize import grow, initial


def fold(model: Model, strategy: Strategy, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """The checkpoint at the close of `logs.period`; `logs` may hold more history than the strategy looks back on."""
    return updated(model, strategy, grow(model, checkpoint, logs), recent(logs, strategy.lookback))


def updated(model: Model, strategy: Strategy, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """The same of a checkpoint that is grown already and of no more logs than the strategy looks back on."""
    at_work = with_state(model, checkpoint.weights, logs)
    made = strategy.update(at_work, replace(checkpoint, weights=without_state(checkpoint.weights)), logs)
    return state_kept(at_work, _finite(strategy, made))


def begin(model: Model, strategy: Strategy, weights: Weights, logs: Logs) -> Checkpoint:
    """The checkpoint at the close of the root night, of pre-trained or untrained weights."""
    at_work = with_state(model, weights, logs)
    return state_kept(at_work, _finite(strategy, strategy.start(at_work, without_state(weights), logs)))


def pretrain(model: Model, strategy: Strategy, logs: Logs) -> Weights:
    """The weights every strategy starts from: the model's first values, folded once over all of `logs`."""
    first = initial(model, logs)
    at_work = with_state(model, first, logs)
    made = strategy.update(at_work, strategy.start(at_work, first, logs), logs)
    return state_kept(at_work, _finite(strategy, made)).weights


def recent(logs: Logs, lookback: int) -> Logs:
    """The rows of the newest `lookback` periods; the vocabulary stays. Raises ValueError below 1."""
    if lookback < 1:
        raise PlanError(f"lookback: given {lookback}; it counts periods, the newest included: 1 or more")
    return logs.since(logs.period - lookback + 1)


def _finite(strategy: Strategy, made: Checkpoint) -> Checkpoint:
    """The checkpoint. Raises ValueError if its weights hold NaN or infinity: every night after it would fail on them."""
    for name, tensor in made.weights.items():
        # The sum is a quick look: it is finite if all of them are, unless it overflows.
        if (
            tensor.is_floating_point()
            and not bool(torch.isfinite(tensor.sum()))
            and not bool(torch.isfinite(tensor).all())
        ):
            raise DataError(f"{type(strategy).__name__} made weights that hold NaN or infinity, in {name}")
    return made
