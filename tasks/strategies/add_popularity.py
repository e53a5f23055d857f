"""AddPopularity: serve a learner's weights with popularity of late added to the items' biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import ClassVar

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.prequential_loss import evaluation_rows, loss
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.time_decay import popularity

TABLE = "table.item"


@dataclass(frozen=True)
class AddPopularity:
    """Post-processor of any learner of an MF with biases; the learner's chain goes on from its own weights.

    Served is b_j + g log(1 + count_j) in place of item j's bias b_j, where each taking counts half as much `half_life`
    periods on. A night of gradient steps says who takes what; how often an item was taken of late is known exactly,
    and need not be learned. Of several `weights` g the choice is made anew at the close of every period, before anyone
    learns from it: whichever would have served that period with the smallest loss (ties: the one named first).
    Source: popularity adjustment of PDA (Zhang et al., SIGIR 2021), f(u, i) m_i^g, here on logits, as a sum.
    """

    learner: Strategy
    half_life: float = 1.0
    weights: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("biases",)  # options of the model

    def __post_init__(self) -> None:
        if not 0 < self.half_life < 1e6:
            raise PlanError(f"half_life: given {self.half_life}; it is in periods, above 0 and below 1,000,000")
        if not self.weights or not all(isfinite(share) and share >= 0 for share in self.weights):
            raise PlanError(f"weights: given {self.weights}; each is what log popularity counts, 0 or more")
        if "MF" not in (getattr(self.learner, "models", None) or ("MF",)):
            raise PlanError(
                f"learner: {type(self.learner).__name__} does not go with MF, the one model with item biases"
            )

    @property
    def lookback(self) -> int:
        """The learner's, or ten half-lives before the newest period: what is older counts less than a thousandth."""
        return max(self.learner.lookback, ceil(10 * self.half_life) + 1)

    @property
    def models(self) -> tuple[str, ...]:
        """The one model whose items have a bias of their own."""
        return ("MF",)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with, with the share named first. Raises PlanError if the model has no biases."""
        if not getattr(model, "biases", False):
            raise PlanError(
                "AddPopularity adds to items' biases, and this model has none; give MF the option biases: true"
            )
        return self._served(self.learner.start(model, weights, logs), logs, self.weights[0])

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Choose on the newest period, let the learner learn from it, add."""
        require_keys(checkpoint.memory, ("own/weights/", "share"), "AddPopularity")
        own, before = unpack("own/weights", checkpoint.memory), float(checkpoint.memory["share"])
        share = self._choose(model, own, logs, before)
        mine = Checkpoint(checkpoint.period, own, unpack("learner", checkpoint.memory))
        return self._served(update_learner(self.learner, "AddPopularity's learner", model, mine, logs), logs, share)

    def _choose(self, model: Model, own: Weights, logs: Logs, before: float) -> float:
        """The share that would have served the newest period best; `before` where it has no rows."""
        newest = logs.since(logs.period)
        if not len(newest):
            return before
        then = replace(logs.select(logs.periods < logs.period), period=logs.period - 1)
        rows, liked = evaluation_rows(model, newest), popularity(then, self.half_life)
        return min(self.weights, key=lambda share: loss(model, _added(own, share * liked), rows))

    def _served(self, learned: Checkpoint, logs: Logs, share: float) -> Checkpoint:
        own = {**pack("learner", learned.memory), **pack("own/weights", learned.weights)}
        liked = popularity(logs, self.half_life)
        memory = {**own, "share": torch.tensor([share], dtype=torch.float64)}
        return Checkpoint(logs.period, _added(learned.weights, share * liked), memory)


def _added(weights: Weights, bias: Tensor) -> Mapping[str, Tensor]:
    """The weights with `bias` [items] added to the items' biases, the last column of their table."""
    table = weights[TABLE].clone()
    table[:, -1] += bias
    return {**weights, TABLE: table}
