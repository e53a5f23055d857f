"""Strategy: how a model is retrained, one period at a time. Retraining is a fold; there is no next period."""

from __future__ import annotations

from typing import Protocol

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective
from nightloop.tasks.modules.model import Model

ALL_HISTORY = 2**31 - 1  # a lookback that no history reaches


class Strategy(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters.

    It may name the `models` that it goes with, the `families` of logs, and the options that it `needs` switched on in the
    model: a plan that does not fit is refused when it is read.
    """

    @property
    def lookback(self) -> int:
        """Periods of logs that `update` reads, the newest included; `ALL_HISTORY` for all."""
        ...

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The checkpoint at the close of the root night: the same pre-trained weights for every strategy."""
        ...

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Fold the newest period in. `checkpoint` is already grown to `logs.sizes`; neither input is changed."""
        ...


class Teachable(Protocol):
    """What a strategy has besides where another can teach it: it trains for whatever objective it is given."""

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """As `update`, with `objective(rows)` for the loss, where `rows` are those that it trains on."""
        ...
