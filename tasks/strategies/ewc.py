"""EWC: fine-tune, regularised most for the weights that mattered most for earlier periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TRAINING_SPACE, TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import fit_and_keep, require_keys
from nightloop.tasks.training.fisher import fisher


@dataclass(frozen=True)
class EWC:
    """Fine-tunes, regularised most for the weights that mattered most for earlier periods.

    argmin L(w | newest period) + strength / 2 sum_j F_j (w_j - w_before,j)^2, started at w_before.

    F is the diagonal of the Fisher information of a row at the close of the period before, the mean over its rows,
    plus `decay` times that of earlier periods. So `strength` means as much however many rows a period has; at 1 it is
    the lambda = 1 of Kirkpatrick et al., whose loss and Fisher information are sums over rows. Rows that did not
    occur in the period before are not regularised, unless `decay` is above 0.

    Parameters
    ----------
    strength : float, default 1.0
        Weight of the penalty, 0 or more. 0 is fine-tuning without it; a larger value keeps the weights that mattered
        closer to yesterday's. Try 0.1 to 100.
    decay : float, default 0.9
        Factor by which the Fisher information of earlier periods counts less with every period, 0 <= decay < 1. At 0
        only the period before counts.
    training : TrainConfig, default 10 epochs, batch size 1024, lr 0.1
        How the newest period is trained on.

    optimizer : {"keep", "reset"}, default "keep"
        What happens to the optimiser's state at the close of a period, as for `FineTune`.

    Raises
    ------
    PlanError
        `strength` or `decay` is out of range.
    DataError
        From `update`: the loss diverges, or the memory is that of another strategy.

    References
    ----------
    Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks (EWC).
    Schwarz et al. 2018, Progress & compress (online EWC: the running sum).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.ewc import EWC
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, EWC(), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.592
    """

    strength: float = 1.0
    decay: float = 0.9
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1)  # noqa: RUF009 (frozen)
    optimizer: Literal["reset", "keep"] = "keep"
    search_space: ClassVar[SearchSpace] = {
        **TRAINING_SPACE,
        "strength": NumberRange(0.01, 100.0, log=True),
        "decay": NumberRange(0.5, 1.0),
        "optimizer": ("keep", "reset"),
    }
    lookback: ClassVar[int] = 1  # the newest period

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise PlanError(f"strength: given {self.strength}; it must be 0 or more")
        if not 0 <= self.decay < 1:
            raise PlanError(f"decay: given {self.decay}; what earlier periods count, 0 <= decay < 1")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights; the Fisher information is that of the newest period of the root's history."""
        newest = logs.since(logs.period)
        return Checkpoint(logs.period, weights, pack("fisher", fisher(model, weights, newest)))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`, then add their Fisher information. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective; the Fisher information is always that of the labels."""
        require_keys(checkpoint.memory, [f"fisher/{name}" for name in checkpoint.weights], "EWC")
        before = unpack("fisher", checkpoint.memory)
        penalty = Penalty(self.strength, checkpoint.weights, before)
        fitted = fit_and_keep(model, checkpoint, logs, self.training, objective(logs), self.optimizer, penalty)
        newest = fisher(model, fitted.weights, logs)
        total = {name: torch.add(newest[name], before[name], alpha=self.decay) for name in newest}
        return Checkpoint(logs.period, fitted.weights, {**fitted.memory, **pack("fisher", total)})
