"""Fold: the one line that a night does once, and a backfill and a bake-off many times."""

from __future__ import annotations

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Checkpoint, Weights
from tasks.models.grow import grow, initial
from tasks.models.model import Model
from tasks.strategies.strategy import Strategy


def fold(model: Model, strategy: Strategy, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """The checkpoint at the close of `logs.period`; `logs` may hold more history than the strategy looks back on."""
    return strategy.update(model, grow(model, checkpoint, logs), recent(logs, strategy.lookback))


def pretrain(model: Model, strategy: Strategy, logs: Logs) -> Weights:
    """The weights every strategy starts from: the model's first values, folded once over all of `logs`."""
    untrained = strategy.start(model, initial(model, logs), logs)
    return strategy.update(model, untrained, logs).weights


def recent(logs: Logs, lookback: int) -> Logs:
    """The rows of the newest `lookback` periods; the vocabulary stays. Raises ValueError below 1."""
    if lookback < 1:
        raise ValueError(f"lookback: given {lookback}; it counts periods, the newest included: 1 or more")
    return logs.since(logs.period - lookback + 1)
