"""L2SP: fine-tune, drawn back to where the weights were at the close of the period before."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.training.fit import fit


@dataclass(frozen=True)
class L2SP:
    """argmin L(w | newest period) + strength / 2 |w - w_before|^2, begun at w_before.

    The pull acts on a row once for each time it occurs, as L2 does; `training.l2`, a pull to nought, is best left out.
    Source: L2-SP, Li et al. 2018; the starting point is yesterday's model.
    """

    strength: float = 0.03
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise PlanError(f"strength: given {self.strength}; a pull is 0 or more")

    @property
    def lookback(self) -> int:
        """The newest period."""
        return 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective."""
        pull = Penalty(self.strength, checkpoint.weights)
        fitted = fit(model, checkpoint.weights, logs, self.training, objective(logs), pull=pull)
        return Checkpoint(logs.period, fitted.weights)
