"""NoUpdate: the control that never learns; what a night of training is worth is measured against it."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model


@dataclass(frozen=True)
class NoUpdate:
    """Serves the pre-trained weights for ever; new ids get the model's untrained rows."""

    @property
    def lookback(self) -> int:
        """One period, of which it reads nothing but the number."""
        return 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The same weights, one period later."""
        return Checkpoint(logs.period, checkpoint.weights, checkpoint.memory)
