"""AddPopularity: serve a learner's weights with recent popularity added to the items' biases."""

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
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.prequential_loss import make_judge
from nightloop.tasks.retraining.strategy import Strategy, models_of, refuse_composed
from nightloop.tasks.retraining.time_decay import check_half_life, popularity

TABLE = "table.item"


@dataclass(frozen=True)
class AddPopularity:
    """Serves a learner's weights with recent popularity added to the items' biases.

    The bias b_j of item j becomes b_j + g log(1 + count_j). The learner continues from its own weights.

    Each interaction counts half as much `half_life` periods later. Gradient steps learn which user likes which item;
    how often an item was taken recently is known exactly and need not be learned. If several `weights` g are given, one
    is chosen at the close of every period, before training on it: the one that would have served that period best by
    the plan's leading metric, against the candidates of the score step (ties: the one named first). For MF with the
    option `biases`.

    Parameters
    ----------
    learner : Strategy
        Any strategy that goes with MF.
    half_life : float, default 1.0
        Periods after which an interaction counts half, above 0 and below 1,000,000. A larger value counts older
        interactions more. Ten half-lives of logs are read; older interactions would count less than a thousandth.
    weights : tuple of float, default (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        Weights of log popularity to choose from, 0 or more. 0 serves the learner's own weights.

    Raises
    ------
    PlanError
        An option is out of range, or the learner or the model has no item biases.
    DataError
        From `update`: the learner fails, or the memory is that of another strategy.

    References
    ----------
    Zhang et al. 2021, Causal intervention for leveraging popularity bias in recommendation (PDA). Its popularity
    adjustment f(u, i) m_i^g is here a sum, on logits.

    Examples
    --------
    What was added to the bias of the most popular item: 0.5 log(1 + count), so its decayed count is 21.2.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.add_popularity import AddPopularity
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> model, strategy = MF(width=4, biases=True), AddPopularity(FineTune(), weights=(0.5,))
    >>> newest = run_chain(model, strategy, simulated_periods("ranking", rows=200))[-1]
    >>> added = newest.weights["table.item"] - newest.memory["own/weights/table.item"]
    >>> print(round(float(added[:, -1].max()), 3))
    1.551
    """

    learner: Strategy
    half_life: float = 1.0
    weights: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    search_space: ClassVar[SearchSpace] = {"half_life": NumberRange(0.2, 30.0, log=True)}
    needs: ClassVar[tuple[str, ...]] = ("biases",)  # options of the model
    models: ClassVar[tuple[str, ...]] = ("MF",)  # the one model whose items have a bias

    def __post_init__(self) -> None:
        refuse_composed(self.learner, "AddPopularity")
        check_half_life("half_life", self.half_life)
        if not self.weights or not all(isfinite(share) and share >= 0 for share in self.weights):
            raise PlanError(f"weights: given {self.weights}; each is what log popularity counts, 0 or more")
        if "MF" not in (models_of(self.learner) or ("MF",)):
            raise PlanError(
                f"learner: {type(self.learner).__name__} does not go with MF, the one model with item biases"
            )

    @property
    def lookback(self) -> int:
        """The learner's, or ten half-lives before the newest period: what is older counts less than a thousandth."""
        return max(self.learner.lookback, ceil(10 * self.half_life) + 1)

    @property
    def reads_ranking(self) -> bool:
        """Whether there is a choice."""
        return len(self.weights) > 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The learner's start, with the first weight. Raises PlanError if the model has no biases."""
        if not getattr(model, "biases", False):
            raise PlanError(
                "AddPopularity adds to items' biases, and this model has none; give MF the option biases: true"
            )
        return self._make_checkpoint(self.learner.start(model, weights, logs), logs, self.weights[0])

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Choose the weight on the newest period, let the learner learn from it, add popularity."""
        require_keys(checkpoint.memory, ("own/weights/", "share"), "AddPopularity")
        learner_weights, before = unpack("own/weights", checkpoint.memory), float(checkpoint.memory["share"])
        share = self._choose(model, Checkpoint(checkpoint.period, learner_weights), logs, before)
        learner_checkpoint = Checkpoint(checkpoint.period, learner_weights, unpack("learner", checkpoint.memory))
        return self._make_checkpoint(
            update_learner(self.learner, "AddPopularity's learner", model, learner_checkpoint, logs), logs, share
        )

    def _choose(self, model: Model, learned: Checkpoint, logs: Logs, before: float) -> float:
        """The weight that would have served the newest period best; `before` if the period has no rows."""
        if not len(logs.since(logs.period)):
            return before
        if len(self.weights) == 1:
            return self.weights[0]
        earlier = replace(logs.select(logs.periods < logs.period), period=logs.period - 1)
        judge, log_popularity = make_judge(model, logs, learned.period), popularity(earlier, self.half_life)
        return min(self.weights, key=lambda share: judge(_add_bias(learned.weights, share * log_popularity)))

    def _make_checkpoint(self, learned: Checkpoint, logs: Logs, share: float) -> Checkpoint:
        learner_memory = {**pack("learner", learned.memory), **pack("own/weights", learned.weights)}
        log_popularity = popularity(logs, self.half_life)
        memory = {**learner_memory, "share": torch.tensor([share], dtype=torch.float64)}
        return Checkpoint(logs.period, _add_bias(learned.weights, share * log_popularity), memory)


def _add_bias(weights: Weights, bias: Tensor) -> Mapping[str, Tensor]:
    """The weights with `bias` [items] added to the items' biases, the last column of their table."""
    table = weights[TABLE].clone()
    table[:, -1] += bias
    return {**weights, TABLE: table}
