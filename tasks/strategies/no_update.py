"""NoUpdate: the control that never learns. The value of a night's training is measured against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model


@dataclass(frozen=True)
class NoUpdate:
    """Serves the pre-trained weights at all times. It has no options.

    New ids get the model's untrained rows.

    Examples
    --------
    The log loss of the newest period. It stays at log 2, because these weights were never trained.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.no_update import NoUpdate
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, NoUpdate(), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.693
    """

    lookback: ClassVar[int] = 1  # of the period only the number is read

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The same weights, one period later."""
        return Checkpoint(logs.period, checkpoint.weights, checkpoint.memory)
