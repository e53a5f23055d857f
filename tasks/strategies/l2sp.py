"""L2SP: fine-tune, regularised towards the weights at the close of the period before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TRAINING_SPACE, TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import fit_and_keep


@dataclass(frozen=True)
class L2SP:
    """Fine-tunes, regularised towards the weights of the period before.

    argmin L(w | newest period) + strength / 2 |w - w_before|^2, started at w_before.

    The penalty acts on a row once for each time it occurs, as L2 does. Leave `training.l2` at 0: it would regularise
    the same rows towards zero.

    Parameters
    ----------
    strength : float, default 0.03
        Weight of the penalty, 0 or more. 0 is fine-tuning without it; a larger value keeps the weights closer to
        yesterday's.
    training : TrainConfig, default 10 epochs, batch size 1024, lr 0.1
        How the newest period is trained on.

    optimizer : {"keep", "reset"}, default "keep"
        What happens to the optimiser's state at the close of a period, as for `FineTune`.

    Raises
    ------
    PlanError
        `strength` is below 0.
    DataError
        From `update`: the loss diverges.

    References
    ----------
    Li et al. 2018, Explicit inductive bias for transfer learning with convolutional networks (L2-SP). The starting
    point is yesterday's model.

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.l2sp import L2SP
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, L2SP(), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.592
    """

    strength: float = 0.03
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1)  # noqa: RUF009 (frozen)
    optimizer: Literal["reset", "keep"] = "keep"
    search_space: ClassVar[SearchSpace] = {
        **TRAINING_SPACE,
        "strength": NumberRange(0.001, 1.0, log=True),
        "optimizer": ("keep", "reset"),
    }
    lookback: ClassVar[int] = 1  # the newest period

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise PlanError(f"strength: given {self.strength}; it must be 0 or more")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective."""
        penalty = Penalty(self.strength, checkpoint.weights)
        return fit_and_keep(model, checkpoint, logs, self.training, objective(logs), self.optimizer, penalty)
