"""Strategy: how a model is retrained, one period at a time. A strategy never sees a later period."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError

ALL_HISTORY = 2**31 - 1  # a lookback that no history reaches


def lookback_of(strategy: Strategy, model: Model) -> int:
    """Periods of logs that `update` reads with this model.

    A strategy that reads how the plan ranks rows, or one within which another does, reads all history of a ranking: what
    users took before is not ranked against what they take now.
    """
    return ALL_HISTORY if reads_ranking(strategy, model) else strategy.lookback


def reads_ranking(strategy: Strategy, model: Model) -> bool:
    """Whether what it returns depends on how the plan ranks rows: on `logs.ranking` and `logs.metric`."""
    return model.family == "ranking" and any(getattr(one, "reads_ranking", False) for one in with_inner(strategy))


def refuse_composed(learner: object, wrapper: str) -> None:
    """Raises PlanError if a learner, or a strategy within it, serves more than the model's own weights."""
    composing = [one for one in with_inner(learner) if getattr(one, "composes", False)]
    if composing:  # the innermost is the one that does it
        raise PlanError(
            f"learner: {wrapper} makes weights of a learner's weights, and {type(composing[-1]).__name__} serves more than "
            "the model's own: scores of single pairs, or several members; Hedge can take it, and so can Blend"
        )


def models_of(strategy: object) -> tuple[str, ...] | None:
    """Names of the models that a strategy goes with; None: all. A wrapper that names none goes with its learner's."""
    models, learner = getattr(strategy, "models", None), getattr(strategy, "learner", None)
    return models_of(learner) if models is None and learner is not None else models


def with_inner(strategy: object) -> Iterator[object]:
    """The strategy and all strategies within it."""
    yield strategy
    for value in vars(strategy).values():
        for inner in value if isinstance(value, tuple) else (value,):
            if hasattr(inner, "update"):
                yield from with_inner(inner)


class Strategy(Protocol):
    """How a model is retrained: a frozen dataclass whose fields are its hyper-parameters.

    A class that has these members is enough; nothing is inherited. It may also have class attributes, which let a plan
    that does not fit be refused when it is read: `models`, names of the models that it goes with; `families`, of logs,
    "ranking" or "ctr"; `needs`, options that must be switched on in the model; `reads_ranking`, true if it reads how the
    plan ranks rows (`logs.ranking` and `logs.metric`), as a prequential choice does: it is then given all history;
    `composes`, true if it serves more than the model's own weights: pair scores (`nightloop.tasks.modules.pair_scores`) or
    several members (`nightloop.tasks.modules.stacked_weights`).
    `search_space` says which options are worth tuning (`nightloop.tasks.plan.search_space`).
    `nightloop.tasks.retraining.contract` has the checks that every strategy must pass.

    Attributes
    ----------
    lookback : int
        Periods of logs that `update` reads, the newest included, 1 or more; `ALL_HISTORY` for all.

    Examples
    --------
    A strategy that moves only half of the way. Training moves the bias by `dense_lr`, 0.001, in each of four nights.

    >>> from dataclasses import dataclass
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.modules.checkpoint import Checkpoint
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.fit import fit
    >>> @dataclass(frozen=True)
    ... class HalfStep:
    ...     training: TrainConfig = TrainConfig(epochs=1)
    ...     lookback = 1
    ...     def start(self, model, weights, logs):
    ...         return Checkpoint(logs.period, weights)
    ...     def update(self, model, checkpoint, logs):
    ...         tuned = fit(model, checkpoint.weights, logs, self.training).weights
    ...         return Checkpoint(logs.period, {name: (w + tuned[name]) / 2 for name, w in checkpoint.weights.items()})
    >>> chain = run_chain(FM(["user", "item"], width=4), HalfStep(), simulated_periods("ctr"))
    >>> print(len(chain), round(float(chain[-1].weights["bias"]), 3))
    5 -0.002
    """

    @property
    def lookback(self) -> int:
        """Periods of logs that `update` reads, the newest included; `ALL_HISTORY` for all."""

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The checkpoint at the close of the root night.

        Parameters
        ----------
        model : Model
            The model to train.
        weights : Weights
            The pre-trained weights, the same for every strategy; a row for each id of `logs`. Not to be changed.
        logs : Logs
            All rows of the root's history. Not to be changed.

        Returns
        -------
        Checkpoint
            Of `logs.period`: the weights to serve, and the memory that `update` will need.
        """

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The checkpoint at the close of the newest period, `logs.period`.

        Parameters
        ----------
        model : Model
            The model to train.
        checkpoint : Checkpoint
            What this strategy returned at the close of the period before; already grown, so that every table has a row
            for each id of `logs.sizes`. Not to be changed.
        logs : Logs
            The rows of the newest `lookback` periods. Not to be changed. Random numbers come from
            `logs.generator(purpose)`.

        Returns
        -------
        Checkpoint
            Of `logs.period`, with new tensors: weights under the same names, and all state in `memory`.

        Raises
        ------
        DataError
            The rows cannot be learned from, or training diverges. The night then records the strategy as failed.
        """


class Teachable(Protocol):
    """What a strategy also has if another strategy can train it with another loss (KD, IncCTR, ReLoop)."""

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """As `update`, with another loss.

        Parameters
        ----------
        model, checkpoint, logs
            As for `update`.
        objective : Objective
            `objective(rows)` is the loss to train with. `rows` are the logs that the strategy trains on.

        Returns
        -------
        Checkpoint
            As for `update`.
        """
