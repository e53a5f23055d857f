"""EWC: fine-tune, drawn back most where the weights mattered most for earlier periods."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys
from nightloop.tasks.training.fisher import fisher
from nightloop.tasks.training.fit import fit


@dataclass(frozen=True)
class EWC:
    """argmin L(w | newest period) + strength / 2 sum_j F_j (w_j - w_before,j)^2, begun at w_before.

    F is the diagonal of the Fisher information at the close of the period before, plus `decay` times that of earlier
    ones: rows the period before did not have are free unless `decay` remembers them. Source: elastic weight
    consolidation, Kirkpatrick et al. 2017; the running sum is that of online EWC, Schwarz et al. 2018.
    """

    strength: float = 1.0
    decay: float = 0.9
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise PlanError(f"strength: given {self.strength}; a pull is 0 or more")
        if not 0 <= self.decay < 1:
            raise PlanError(f"decay: given {self.decay}; what earlier periods count, 0 <= decay < 1")

    @property
    def lookback(self) -> int:
        """The newest period."""
        return 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights; what mattered is told by the newest period of the root's history."""
        newest = logs.since(logs.period)
        return Checkpoint(logs.period, weights, pack("fisher", fisher(model, weights, newest)))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`, then see what mattered. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective; what mattered is told by the labels alone."""
        require_keys(checkpoint.memory, [f"fisher/{name}" for name in checkpoint.weights], "EWC")
        before = unpack("fisher", checkpoint.memory)
        pull = Penalty(self.strength, checkpoint.weights, before)
        weights = fit(model, checkpoint.weights, logs, self.training, objective(logs), pull=pull).weights
        found = fisher(model, weights, logs)
        total = {name: torch.add(found[name], before[name], alpha=self.decay) for name in found}
        return Checkpoint(logs.period, weights, pack("fisher", total))
