"""ItemKNN: recent popularity plus similar items, the control that a personal model must beat. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.pair_scores import PairScores, pairs_from_dense
from nightloop.tasks.plan.bounds import WIDEST, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.retraining.time_decay import check_half_life, decayed_counts, user_item_matrix

NEVER = 0.01  # added to every count before its logarithm is taken
CELLS = 1 << 24  # of a dense block of users and items


@dataclass(frozen=True)
class ItemKNN:
    """Scores an item by its recent popularity and its similarity to the items that the user took.

    score(u, j) = log(1 + 100 popularity(j)) + `weight` x sum over items i that u took of w_ui x similarity(i, j)

    w_ui is the number of times that u took i; each counts half `memory` periods later. The similarity is the cosine of
    two items' columns of w, with `shrinkage` added to its denominator. The defaults are tuned on MovieTweetings. Of the
    similar items the `top` best of each user are kept. If the plan does not rank what was taken before
    (`ranking.repeats`), those leave out what the user took. It is made anew every period from all history, and memory in
    use grows with the pairs of items that share a user.

    Parameters
    ----------
    half_life : float, default 1.0
        Periods after which an interaction counts half in the popularity, above 0 and below 1,000,000.
    memory : float, default 3.0
        Periods after which w_ui counts half, above 0 and below 1,000,000.
    shrinkage : float, default 5.0
        0 or more. A larger value makes chance meetings of rare items count less.
    weight : float, default 3.0
        Weight of the similar items, 0 or more. 0 is popularity alone.
    top : int, default 200
        Similar items that are kept for each user, 1 or more: 8 bytes each in the checkpoint.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Sarwar et al. 2001, Item-based collaborative filtering recommendation algorithms.

    Examples
    --------
    Similar items of the first user, and the largest score that they add.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.modules.pair_scores import pair_scores_of
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.item_knn import ItemKNN
    >>> newest = run_chain(MF(width=4), ItemKNN(), simulated_periods("ranking"))[-1]
    >>> pairs = pair_scores_of(newest.weights)
    >>> int(pairs.start[1]), round(float(pairs.value.max()), 2)
    (16, 17.81)
    """

    half_life: float = 1.0
    memory: float = 3.0
    shrinkage: float = 5.0
    weight: float = 3.0
    top: int = 200
    search_space: ClassVar[SearchSpace] = {
        "half_life": NumberRange(0.2, 30.0, log=True),
        "memory": NumberRange(0.5, 100.0, log=True),
        "shrinkage": NumberRange(0.5, 50.0, log=True),
        "weight": NumberRange(0.3, 30.0, log=True),
    }
    models: ClassVar[tuple[str, ...]] = ("MF",)
    reads_ranking: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    lookback: ClassVar[int] = ALL_HISTORY

    def __post_init__(self) -> None:
        for name in ("half_life", "memory"):
            check_half_life(name, getattr(self, name))
        for name in ("shrinkage", "weight"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise PlanError(f"{name}: given {getattr(self, name)}; it is a number from 0")
        refuse_outside("top", self.top, WIDEST, what="similar items of a user")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the root's history says; the pre-trained weights are not used."""
        users, items = logs.sizes[:2]
        bias = torch.log1p(decayed_counts(logs, self.half_life) / NEVER).float()
        tables = from_parts(model, torch.zeros(users, 0), torch.zeros(items, 0), bias)
        return Checkpoint(logs.period, {**tables, **self._similar_items(logs).tensors()})

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """What all history says, the newest period included."""
        return self.start(model, checkpoint.weights, logs)

    def _similar_items(self, logs: Logs) -> PairScores:
        """The best similar items of each user, block by block of users."""
        decay = torch.exp2((logs.periods - logs.period).double() / self.memory)
        taken = user_item_matrix(logs, decay)
        similarity = _cosine(taken, self.shrinkage) * self.weight
        step = max(CELLS // max(logs.sizes[1], 1), 1)
        parts = []
        for first in range(0, logs.sizes[0], step):
            block = taken[first : first + step]
            scores = (block @ similarity).toarray()
            if not logs.ranking.repeats:
                scores[block.nonzero()] = 0.0
            parts.append(pairs_from_dense(torch.from_numpy(scores).float(), self.top))
        none = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), torch.zeros(0))
        count, item, value = (torch.cat(column) for column in zip(none, *parts, strict=True))
        return PairScores(torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)]), item, value)


def _cosine(taken: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    """Shrunk cosine between columns, [items, items]; 0 between an item and itself."""
    product = (taken.T @ taken).tocoo()
    norm = np.sqrt(product.diagonal())
    off_diagonal = product.row != product.col
    row, col, value = product.row[off_diagonal], product.col[off_diagonal], product.data[off_diagonal]
    value = value / (norm[row] * norm[col] + shrinkage)
    return sp.csr_matrix((value, (row, col)), shape=product.shape)
