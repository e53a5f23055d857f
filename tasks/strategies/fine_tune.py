"""FineTune: go on training yesterday's weights on the newest period alone (IU in the ASMG paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit


@dataclass(frozen=True)
class FineTune:
    """argmin L(weights | newest period), begun at the weights of the period before.

    `optimizer` says what becomes of the optimiser's state at the close of a period: `reset` forgets it, `keep` hands
    it on, grown with the vocabulary (SML and ASMG keep Adam's moments, too). With row-wise Adagrad, kept sums of
    squares make rows that have seen much move little and new rows move freely. The defaults were chosen on
    MovieTweetings for MF with biases; click models overfit their tables after one epoch.
    """

    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1, l2=0.03)  # noqa: RUF009 (frozen)
    optimizer: Literal["reset", "keep"] = "keep"

    @property
    def lookback(self) -> int:
        """The newest period."""
        return 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights, no optimiser state yet."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`. Raises ValueError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective."""
        state = unpack("optimizer", checkpoint.memory) or None
        fitted = fit(model, checkpoint.weights, logs, self.training, objective(logs), state=state)
        memory = pack("optimizer", fitted.optimizer) if self.optimizer == "keep" else {}
        return Checkpoint(logs.period, fitted.weights, memory)
