"""Advance: one step of retraining. A night does it once, a backfill and a bake-off many times."""

from __future__ import annotations

from dataclasses import replace

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import update_state, with_state, without_state
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.retraining.strategy import Strategy, lookback_of
from nightloop.tasks.training.resize import grow, initial_weights


def fold(model: Model, strategy: Strategy, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """The checkpoint at the close of `logs.period`.

    Parameters
    ----------
    model : Model
        The model to train.
    strategy : Strategy
        How it is retrained.
    checkpoint : Checkpoint
        That of the period before. Its tables are grown to `logs.sizes` here.
    logs : Logs
        The logs up to the close of the period. They may hold more history than the strategy looks back on.

    Returns
    -------
    Checkpoint
        New tensors; nothing that was given is changed.

    Raises
    ------
    DataError
        The strategy fails, or its weights hold NaN or infinity.

    Examples
    --------
    The number of users for which there is a row, at the root and a period later.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.advance import start_chain, fold
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> model, (first, second) = MF(width=4), simulated_periods("ranking", count=2)
    >>> root = start_chain(model, FineTune(), initial_weights(model, first), first)
    >>> print([len(one.weights["table.user"]) for one in (root, fold(model, FineTune(), root, second))])
    [12, 14]
    """
    return update_grown(model, strategy, grow(model, checkpoint, logs), recent_rows(logs, lookback_of(strategy, model)))


def update_grown(model: Model, strategy: Strategy, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """As `fold`, for a checkpoint that is already grown and the logs of the strategy's lookback alone."""
    tonight = with_state(model, checkpoint.weights, logs)
    updated = strategy.update(tonight, replace(checkpoint, weights=without_state(checkpoint.weights)), logs)
    return update_state(tonight, _check_finite(strategy, updated))


def start_chain(model: Model, strategy: Strategy, weights: Weights, logs: Logs) -> Checkpoint:
    """The checkpoint at the close of the root night.

    Parameters
    ----------
    model : Model
        The model to train.
    strategy : Strategy
        How it will be retrained.
    weights : Weights
        Pre-trained or untrained weights, with a row for each id of `logs`.
    logs : Logs
        All rows of the root's history.

    Returns
    -------
    Checkpoint
        What the strategy starts with.

    Raises
    ------
    DataError
        The strategy fails, or its weights hold NaN or infinity.

    Examples
    --------
    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.advance import start_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.no_update import NoUpdate
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> model, logs = MF(width=4), simulated_periods("ranking")[0]
    >>> start_chain(model, NoUpdate(), initial_weights(model, logs), logs).period
    0
    """
    tonight = with_state(model, weights, logs)
    return update_state(tonight, _check_finite(strategy, strategy.start(tonight, without_state(weights), logs)))


def pretrain(model: Model, strategy: Strategy, logs: Logs) -> Weights:
    """The weights that every strategy starts from: the model's first values, folded once over all of `logs`.

    Parameters
    ----------
    model : Model
        The model to train.
    strategy : Strategy
        How it is pre-trained, the plan's `pretrain`.
    logs : Logs
        All rows of the periods to pre-train on.

    Returns
    -------
    Weights
        With a row for each id of `logs`.

    Raises
    ------
    DataError
        The strategy fails, or its weights hold NaN or infinity.

    Examples
    --------
    The log loss of the same rows after pre-training; before it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.advance import pretrain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> model, logs = FM(["user", "item"], width=4), simulated_periods("ctr", rows=200)[0]
    >>> print(round(mean_logloss(model, pretrain(model, FineTune(), logs), logs), 3))
    0.549
    """
    first = initial_weights(model, logs)
    tonight = with_state(model, first, logs)
    updated = strategy.update(tonight, strategy.start(tonight, first, logs), logs)
    return update_state(tonight, _check_finite(strategy, updated)).weights


def recent_rows(logs: Logs, lookback: int) -> Logs:
    """The rows of the newest `lookback` periods, with the whole vocabulary.

    Parameters
    ----------
    logs : Logs
        Rows of any number of periods.
    lookback : int
        Number of periods, the newest included, 1 or more.

    Returns
    -------
    Logs
        The rows of period `logs.period - lookback + 1` and later.

    Raises
    ------
    PlanError
        `lookback` is below 1.

    Examples
    --------
    Five periods of 60 rows, of which the newest two are kept.

    >>> from nightloop.tasks.retraining.advance import recent_rows
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> len(recent_rows(simulated_periods("ranking")[-1], 2))
    120
    """
    if lookback < 1:
        raise PlanError(f"lookback: given {lookback}; it counts periods, the newest included: 1 or more")
    return logs.since(logs.period - lookback + 1)


def _check_finite(strategy: Strategy, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint. Raises DataError if its weights hold NaN or infinity, because every later night would fail."""
    for name, tensor in checkpoint.weights.items():
        # The sum is a quick check: it is finite if all of them are, unless it overflows.
        if (
            tensor.is_floating_point()
            and not bool(torch.isfinite(tensor.sum()))
            and not bool(torch.isfinite(tensor).all())
        ):
            raise DataError(f"{type(strategy).__name__} made weights that hold NaN or infinity, in {name}")
    return checkpoint
