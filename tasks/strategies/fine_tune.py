"""FineTune: continue the training of yesterday's weights on the newest period alone (IU in the ASMG paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TRAINING_SPACE, TrainConfig
from nightloop.tasks.plan.search_space import SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import fit_and_keep


@dataclass(frozen=True)
class FineTune:
    """Trains the weights of the period before on the newest period alone.

    argmin L(weights | newest period), started at the weights of the period before.

    The defaults were chosen on MovieTweetings for MF with biases. Click models overfit their tables after one epoch:
    give them `training` with `epochs` 1.

    Parameters
    ----------
    training : TrainConfig, default 10 epochs, batch size 1024, lr 0.1, l2 0.03
        How the newest period is trained on. More epochs or a larger `lr` follow the newest period more closely; a
        larger `l2` keeps rows closer to zero.
    optimizer : {"keep", "reset"}, default "keep"
        What happens to the optimiser's state at the close of a period. `keep` passes it on, grown with the vocabulary,
        as the code of SML and ASMG does with Adam's moments. `reset` forgets it. With row-wise Adagrad, kept sums of
        squares make rows that have seen much data move little and new rows move freely.

    Raises
    ------
    DataError
        From `update`: the loss diverges.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method (Fine-tune).
    Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems (IU).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, FineTune(), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.598
    """

    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1, l2=0.03)  # noqa: RUF009 (frozen)
    optimizer: Literal["reset", "keep"] = "keep"
    search_space: ClassVar[SearchSpace] = {**TRAINING_SPACE, "optimizer": ("keep", "reset")}
    lookback: ClassVar[int] = 1  # the newest period

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights, no optimiser state yet."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the rows of `logs`. Raises DataError if the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective."""
        return fit_and_keep(model, checkpoint, logs, self.training, objective(logs), self.optimizer)
