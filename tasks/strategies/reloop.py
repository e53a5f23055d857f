"""ReLoop: correct oneself: be punished wherever the version before predicted a row better."""

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
from nightloop.tasks.retraining.checkpoint_memory import from_memory, require_keys, to_memory, update_learner
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, known
from nightloop.tasks.training.predict import predict


@dataclass(frozen=True)
class SelfCorrection:
    """An objective: `alpha` [y relu(p - q) + (1 - y) relu(q - p)] + (1 - `alpha`) CE(y, q), q the new prediction.

    p is what the version before predicted (`Logs.served`); a row without one has cross-entropy alone, in full. At a tie
    the slope is relu's, 0: begun warm at the very weights that predicted p, every row is one.
    """

    alpha: float

    def __call__(self, logs: Logs) -> Loss:
        """The loss for these rows."""
        last, present = known(logs)
        corrected = self.alpha * present
        plain = 1 - corrected

        def loss(batch: Batch) -> Tensor:
            at, y = batch.positions, batch.label
            entropy = binary_cross_entropy_with_logits(batch.logits, y, plain[at], reduction="sum")
            worse = batch.logits.sigmoid() - last[at]
            lost = y * (-worse).relu() + (1 - y) * worse.relu()
            return (entropy + (corrected[at] * lost).sum()) / batch.taken

        return loss


@dataclass(frozen=True)
class ReLoop:
    """The self-correction loss (ReLoop, Cai et al. 2022) for a `learner`; nothing is added to serving.

    Unlike distillation it is one-sided: a prediction at least as good as the one before is free. What was predicted is
    what was served, where the logs say so (the plan's `columns.logged_probability`); else what the weights before the night predict
    for the newest period, which they have not seen. That is kept while the learner looks back on the row, a number a
    row, and in SPMF's reservoir, so that no row is ever judged by weights that were trained on it. Rows of the root,
    which the pre-trained weights have seen, have none unless one was logged. `alpha` 0 is the learner alone; at 1
    nothing would pull where both were wrong, so it is below. For labelled logs.
    """

    learner: Strategy
    alpha: float = 0.5
    families: ClassVar[tuple[str, ...]] = FAMILIES

    def __post_init__(self) -> None:
        check_teachable(self.learner, "ReLoop")
        if not 0 <= self.alpha < 1:
            raise PlanError(f"alpha: given {self.alpha}; it is the part of self-correction in the loss, 0 <= alpha < 1")

    @property
    def lookback(self) -> int:
        """The learner's."""
        return self.learner.lookback

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models the learner goes with; None: all."""
        return getattr(self.learner, "models", None)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with. Raises ValueError for a ranking."""
        check_labels(model, "ReLoop")
        begun = self.learner.start(model, weights, logs)
        return Checkpoint(logs.period, begun.weights, self._memory(begun, logs))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Find out what was predicted, let the learner learn. ValueError for a ranking and where the loss diverges."""
        check_labels(model, "ReLoop")
        require_keys(checkpoint.memory, ("served/periods", "served/values"), "ReLoop")
        judged = self._judged(model, checkpoint, logs)
        mine = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", checkpoint.memory))
        learned = update_learner(self.learner, "ReLoop's learner", model, mine, judged, SelfCorrection(self.alpha))
        return Checkpoint(logs.period, learned.weights, self._memory(learned, judged))

    def _judged(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Logs:
        """The logs with what was predicted for every row of the newest period, and for older rows where it is known."""
        kept, served = checkpoint.memory["served/periods"], logs.served.clone()
        before = from_memory(checkpoint.memory["served/values"])
        for period in torch.unique(kept).tolist():
            mine, old = logs.periods == period, before[kept == period]
            if int(mine.sum()) not in (0, len(old)):
                raise DataError(
                    f"period {period} has {int(mine.sum())} rows, and had {len(old)} when their predictions were kept: "
                    "it was delivered anew. Run the nights since then again"
                )
            served[mine] = served[mine].where(~served[mine].isnan(), old) if bool(mine.any()) else served[mine]
        absent = served.isnan() & (logs.periods == logs.period)
        if bool(absent.any()):
            served[absent] = predict(model, checkpoint.weights, logs.select(absent)).sigmoid()
        return replace(logs, served=served)

    def _memory(self, learned: Checkpoint, logs: Logs) -> dict[str, Tensor]:
        """The learner's, and the predictions of the rows that it will look back on the next time."""
        again = logs.periods >= logs.period - self.lookback + 2
        kept = {"periods": logs.periods[again], "values": to_memory(logs.served[again])}
        return {**pack("learner", learned.memory), **pack("served", kept)}
