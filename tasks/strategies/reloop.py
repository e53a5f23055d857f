"""ReLoop: penalise a prediction if the version before predicted the row better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Batch, Loss
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import from_memory, require_keys, to_memory, update_learner
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, teacher_targets
from nightloop.tasks.training.predict import predict


@dataclass(frozen=True)
class SelfCorrection:
    """The objective of ReLoop: cross-entropy, and a penalty for a prediction that is worse than the one before.

    `alpha` [y relu(p - q) + (1 - y) relu(q - p)] + (1 - `alpha`) CE(y, q)

    q is the new prediction and p that of the version before (`Logs.served`). A row without p has the second term
    alone, so that it weighs no more than the others. If p = q the gradient of the first term is that of relu, 0: at
    the first step of a warm start from the very weights that predicted p, this is so for every row.

    Parameters
    ----------
    alpha : float
        Share of self-correction in the loss, 0 <= alpha < 1.

    Examples
    --------
    A positive that was predicted at 0.8 is now predicted at 0.5: 0.5 (0.8 - 0.5) + 0.5 log 2.

    >>> from dataclasses import replace
    >>> import torch
    >>> from nightloop.tasks.modules.loss import Batch
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.reloop import SelfCorrection
    >>> row = replace(simulated_periods("ctr")[0].select(slice(1, 2)), served=torch.tensor([0.8]))
    >>> batch = Batch(torch.zeros(1), row.label, torch.tensor([0]), row.rows, torch.zeros(1, 2, 4), 1)
    >>> print(row.label.item(), round(float(SelfCorrection(0.5)(row)(batch)), 3))
    1.0 0.497
    """

    alpha: float

    def __call__(self, logs: Logs) -> Loss:
        """The loss for these rows."""
        previous, present = teacher_targets(logs)
        correction = self.alpha * present

        def loss(batch: Batch) -> Tensor:
            at, y = batch.positions, batch.label
            entropy = (1 - self.alpha) * binary_cross_entropy_with_logits(batch.logits, y, reduction="sum")
            worse = batch.logits.sigmoid() - previous[at]
            lost = y * (-worse).relu() + (1 - y) * worse.relu()
            return (entropy + (correction[at] * lost).sum()) / batch.taken

        return loss


@dataclass(frozen=True)
class ReLoop:
    """Trains a `learner` with the self-correction loss. Nothing is added to serving.

    Unlike distillation it is one-sided: a prediction at least as good as the one before is not penalised.

    The prediction of the version before is the one that was served, if the logs have it (the plan's
    `columns.logged_probability`). If not, it is what the weights before the night predict for the newest period, which
    they have not seen. These predictions are kept, a number a row, as long as the learner looks back on the row, and in
    the reservoir of SPMF, so that no row is ever compared with weights that were trained on it. Rows of the root, which
    the pre-trained weights have seen, have none unless one was logged. For labelled logs.

    Parameters
    ----------
    learner : Strategy
        The strategy that is trained with this loss: FineTune, FullRetrain, SPMF, L2SP or EWC.
    alpha : float, default 0.5
        Share of self-correction in the loss, 0 <= alpha < 1. 0 is the learner alone. 1 is not allowed: a prediction
        that is as wrong as the one before would have no gradient.

    Raises
    ------
    PlanError
        `alpha` is out of range, the learner cannot be given another loss, or the model is for rankings.
    DataError
        From `update`: the loss diverges, or a period was delivered again since its predictions were kept.

    References
    ----------
    Cai et al. 2022, ReLoop: a self-correction continual learning loop for recommender systems.

    Examples
    --------
    Logs in which every row was served at 0.4. The log loss of the newest period, before it is trained on; without
    retraining it is 0.693.

    >>> from dataclasses import replace
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.reloop import ReLoop
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> logged = [replace(logs, served=0 * logs.label + 0.4) for logs in periods]
    >>> served = run_chain(model, ReLoop(FineTune(), alpha=0.5), logged)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.657
    """

    learner: Strategy
    alpha: float = 0.5
    search_space: ClassVar[SearchSpace] = {"alpha": NumberRange(0.1, 0.9)}
    families: ClassVar[tuple[str, ...]] = FAMILIES

    def __post_init__(self) -> None:
        check_teachable(self.learner, "ReLoop")
        if not 0 <= self.alpha < 1:
            raise PlanError(f"alpha: given {self.alpha}; it is the part of self-correction in the loss, 0 <= alpha < 1")

    @property
    def lookback(self) -> int:
        """The learner's."""
        return self.learner.lookback

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with. Raises PlanError for a ranking."""
        check_labels(model, "ReLoop")
        started = self.learner.start(model, weights, logs)
        return Checkpoint(logs.period, started.weights, self._memory(started, logs))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Collect what was predicted, then let the learner learn. Raises DataError if the loss diverges."""
        check_labels(model, "ReLoop")
        require_keys(checkpoint.memory, ("served/periods", "served/values"), "ReLoop")
        with_targets = self._add_predictions(model, checkpoint, logs)
        learner_checkpoint = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", checkpoint.memory))
        learned = update_learner(
            self.learner, "ReLoop's learner", model, learner_checkpoint, with_targets, SelfCorrection(self.alpha)
        )
        return Checkpoint(logs.period, learned.weights, self._memory(learned, with_targets))

    def _add_predictions(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Logs:
        """The logs with the prediction for every row of the newest period, and for older rows if it is known."""
        periods, served = checkpoint.memory["served/periods"], logs.served.clone()
        before = from_memory(checkpoint.memory["served/values"])
        for period in torch.unique(periods).tolist():
            in_period, old = logs.periods == period, before[periods == period]
            if int(in_period.sum()) not in (0, len(old)):
                raise DataError(
                    f"period {period} has {int(in_period.sum())} rows, and had {len(old)} when their predictions were kept: "
                    "it was delivered again. Run the nights since then again"
                )
            served[in_period] = (
                served[in_period].where(~served[in_period].isnan(), old) if bool(in_period.any()) else served[in_period]
            )
        absent = served.isnan() & (logs.periods == logs.period)
        if bool(absent.any()):
            served[absent] = predict(model, checkpoint.weights, logs.select(absent)).sigmoid()
        return replace(logs, served=served)

    def _memory(self, learned: Checkpoint, logs: Logs) -> dict[str, Tensor]:
        """The learner's memory, and the predictions of the rows that it will look back on next time."""
        next_rows = logs.periods >= logs.period - self.lookback + 2
        predictions = {"periods": logs.periods[next_rows], "values": to_memory(logs.served[next_rows])}
        return {**pack("learner", learned.memory), **pack("served", predictions)}
