"""FullRetrain: train on all history, or on a window of it, every night; the expensive control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TRAINING_SPACE, TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial_weights


@dataclass(frozen=True)
class FullRetrain:
    """Trains on all history, or on its last periods, every night.

    argmin L(weights | the last `window` periods), started at yesterday's weights or from scratch.

    Warm with a window is BU-w of the ASMG paper; warm with all history is the full retrain of the SML paper. The
    optimiser starts with an empty state every period, because the same rows come again. The defaults were chosen on
    MovieTweetings for MF with biases. Click models overfit their tables after one epoch.

    Parameters
    ----------
    training : TrainConfig, default 10 epochs, batch size 1024, lr 0.05, l2 0.03
        How the window is trained on. Time is proportional to the epochs and to the rows of the window.
    begin : {"warm", "scratch"}, default "warm"
        Where training starts: at the weights of the period before, or at the model's first values.
    window : int or None, default None
        Number of periods to train on, the newest included, 1 or more. None is all history, so that time grows with
        every period. A smaller window forgets sooner.

    Raises
    ------
    PlanError
        `window` is below 1.
    DataError
        From `update`: the loss diverges.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method (Full-retrain).
    Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems (BU).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.full_retrain import FullRetrain
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, FullRetrain(window=2), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 2))
    0.64
    """

    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.05, l2=0.03)  # noqa: RUF009 (frozen)
    begin: Literal["warm", "scratch"] = "warm"
    window: int | None = None
    search_space: ClassVar[SearchSpace] = {**TRAINING_SPACE, "window": (2, 4, 7, 14, None)}

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise PlanError(f"window: given {self.window}; it counts periods, the newest included: 1 or more, or null")

    @property
    def lookback(self) -> int:
        """The window, or all history."""
        return ALL_HISTORY if self.window is None else self.window

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on all rows of `logs`. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective."""
        weights = initial_weights(model, logs) if self.begin == "scratch" else checkpoint.weights
        return Checkpoint(logs.period, fit(model, weights, logs, self.training, objective(logs)).weights)
