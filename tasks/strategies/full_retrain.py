"""FullRetrain: train on all history, or on a window of it, every night; the dear control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial


@dataclass(frozen=True)
class FullRetrain:
    """argmin L(weights | the last `window` periods), begun `warm` at yesterday's weights or from `scratch`.

    `window` None is all history. Warm with a window is BU-w of the ASMG paper, warm with all history the full-retrain
    of the SML paper. The optimiser's state begins anew every period, since the same rows come again.
    The defaults were chosen on MovieTweetings for MF with biases; click models overfit their tables after one epoch.
    """

    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.05, l2=0.03)  # noqa: RUF009 (frozen)
    begin: Literal["warm", "scratch"] = "warm"
    window: int | None = None

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
        weights = initial(model, logs) if self.begin == "scratch" else checkpoint.weights
        return Checkpoint(logs.period, fit(model, weights, logs, self.training, objective(logs)).weights)
