"""AverageWeights: serve an average of a learner's weights over the periods instead of the newest ones alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.bounds import ROUNDS
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import pack_snapshots, past_weights, require_keys, update_learner
from nightloop.tasks.retraining.prequential_loss import make_judge
from nightloop.tasks.retraining.strategy import Strategy, refuse_composed
from nightloop.tasks.training.weight_average import Snapshot, average_weights


@dataclass(frozen=True)
class AverageWeights:
    """Serves an average of a learner's weights; the learner continues from its own weights, never from the average.

    If several coefficients or counts are given, one is chosen at the close of every period, before training
    on it: the one that would have served that period best (ties: the one named first), by the plan's leading metric
    against the candidates of the score step if it is a ranking, by log loss if it has labels. A row of a table is
    averaged only over the periods in which its id was known.

    Parameters
    ----------
    learner : Strategy
        Any strategy.
    method : {"ema", "last"}, default "ema"
        `ema`: served(t) = a served(t-1) + (1 - a) learned(t), with a from `coefficients`. `last`: served(t) is the mean
        of the learner's last k weights, with k from `counts`; k copies of the weights are kept.
    coefficients : tuple of float, default (0.0, 0.1, 0.3, 0.5, 0.8)
        Shares of the old average to choose from, 0 <= a < 1. 0 serves the learner's newest weights; a larger value
        moves more slowly.
    counts : tuple of int, default (1, 2, 3, 5)
        Numbers of periods to choose from, 1 or more. 1 serves the learner's newest weights.

    Raises
    ------
    PlanError
        A coefficient or a count is out of range, or none is given.
    DataError
        From `update`: the learner fails, or the memory is that of another strategy.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method, section 4 (weighted
    average). Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems
    (Linear is the learned mean of the last k).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.average_weights import AverageWeights
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, AverageWeights(FineTune(), coefficients=(0.3,)), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.611
    """

    learner: Strategy
    method: Literal["ema", "last"] = "ema"
    coefficients: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.8)
    counts: tuple[int, ...] = (1, 2, 3, 5)
    search_space: ClassVar[SearchSpace] = {"method": ("ema", "last")}  # the numbers are chosen night by night

    def __post_init__(self) -> None:
        refuse_composed(self.learner, "AverageWeights")
        if not self.coefficients or not all(0 <= a < 1 for a in self.coefficients):
            raise PlanError(f"coefficients: given {self.coefficients}; each is the old average's share, 0 <= a < 1")
        if not self.counts or not all(1 <= k <= ROUNDS for k in self.counts):
            raise PlanError(f"counts: given {self.counts!s:.80}; each is a number of periods, 1 to {ROUNDS:,}")

    @property
    def lookback(self) -> int:
        """The learner's."""
        return self.learner.lookback

    @property
    def reads_ranking(self) -> bool:
        """Whether there is a choice."""
        return len(self._shares()) > 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The learner's start is served."""
        learned = self.learner.start(model, weights, logs)
        return Checkpoint(logs.period, learned.weights, _memory([Snapshot(learned.weights, logs.period)], learned, 0))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Choose on the newest period, let the learner learn from it, average."""
        require_keys(checkpoint.memory, ("pool/periods", "pool/0/weights/", "choice"), "AverageWeights")
        pool = past_weights(checkpoint.memory)
        before = int(checkpoint.memory["choice"])
        choice = self._choose(model, pool, logs, before)
        learner_checkpoint = Checkpoint(checkpoint.period, pool[0].weights, unpack("learner", checkpoint.memory))
        learned = update_learner(self.learner, "AverageWeights' learner", model, learner_checkpoint, logs)
        older = (
            [Snapshot(checkpoint.weights, checkpoint.period)] if self.method == "ema" else pool[: max(self.counts) - 1]
        )
        pool = [Snapshot(learned.weights, logs.period), *older]
        served = average_weights(pool, self._shares()[choice], logs)
        return Checkpoint(logs.period, served, _memory(pool, learned, choice))

    def _shares(self) -> list[tuple[float, ...]]:
        """For every choice the shares of the pool, newest first."""
        if self.method == "ema":
            return [(1 - a, a) for a in self.coefficients]
        return [(1 / k,) * k for k in self.counts]

    def _choose(self, model: Model, pool: Sequence[Snapshot], logs: Logs, before: int) -> int:
        """Position of the shares that would have served the newest period best; `before` if nothing can be compared."""
        shares = self._shares()
        if len(shares) == 1 or len(pool) == 1 or not len(logs.since(logs.period)):
            return before
        judge = make_judge(model, logs, pool[0].period)
        losses = [judge(average_weights(pool, share, logs)) for share in shares]
        return losses.index(min(losses))


def _memory(pool: Sequence[Snapshot], learned: Checkpoint, choice: int) -> dict[str, Tensor]:
    """The pool, the learner's own memory and the choice."""
    return {**pack("learner", learned.memory), **pack_snapshots(pool), "choice": torch.tensor([choice])}
