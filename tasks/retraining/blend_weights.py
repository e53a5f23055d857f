"""Blend weights: what each member's scores count for, fitted by conditional logit and checked by the metric that leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightloop.tasks.evaluation.ranking_metrics import ndcg, recall
from nightloop.tasks.plan.leading_metric import CATALOGUE
from nightloop.tasks.retraining.conditional_logit import Choices, Floats, fit_conditional_logit

RIDGE = 1.0  # of the weights of all users together, in choices: enough that equal members share their weight


@dataclass(frozen=True)
class Listing:
    """What a list is measured by: the metric, its length, and how many candidates a row has."""

    metric: str
    negatives: int

    def mean(self, choices: Choices, weights: Floats) -> float:
        """The mean metric if every choice is ranked by its weights [n, K] or [K].

        A choice holds a sample of its row's candidates: as many times more of them stand above as there are more.
        """
        scores = np.einsum(
            "nck,nk->nc", choices.features, np.broadcast_to(weights, (len(choices.count), weights.shape[-1]))
        )
        present = np.arange(1, scores.shape[1]) <= choices.count[:, None]
        above = ((scores[:, 1:] > scores[:, :1]) & present).sum(1)
        equal = ((scores[:, 1:] == scores[:, :1]) & present).sum(1)
        whole = choices.count < scores.shape[1] - 1  # then there are no others
        ratio = np.where(whole, 1.0, max(self.negatives / (scores.shape[1] - 1), 1.0))
        name, _, k = self.metric.removeprefix(CATALOGUE).partition("@")
        return float((recall if name == "recall" else ndcg)(above * ratio, equal * ratio, int(k)).mean())


def fit_blend_weights(
    choices: Choices,
    bucket: NDArray[np.int64],
    buckets: int,
    shrinkage: float,
    free: NDArray[np.bool_],
    pairs: NDArray[np.bool_],
    listing: Listing,
) -> Floats:
    """The weights of every bucket of users: [buckets, K]. The first bucket holds users without a history.

    First the weights of all users, then those of each bucket, drawn towards them as if by `shrinkage` choices. The
    likelihood counts every choice alike, also those far down the list. So columns without which the metric is not lower
    are left out, one after the other, and the buckets' own weights are taken only if the metric is higher with them.
    Columns that are not `free` are left out. Columns of `pairs` say nothing of users without a history: if no others are
    left, these users have the weights that all users would have without `pairs`.
    """
    center = _drop_columns(choices, free, listing)
    same = np.tile(center, (buckets, 1))
    if not (center > 0)[~pairs].any() and (free & ~pairs).any():
        same[0] = _drop_columns(choices, free & ~pairs, listing)
    own = np.stack([
        fit_conditional_logit(choices.select(bucket == number), middle, shrinkage, middle > 0)
        for number, middle in enumerate(same)
    ])  # fmt: skip
    return own if listing.mean(choices, own[bucket]) > listing.mean(choices, same[bucket]) else same


def _drop_columns(choices: Choices, free: NDArray[np.bool_], listing: Listing) -> Floats:
    """The weights of all users [K], with as few columns as the metric needs."""
    nothing = np.zeros(len(free))
    weights = fit_conditional_logit(choices, nothing, RIDGE, free)
    best = listing.mean(choices, weights)
    while (weights > 0).sum() > 1:
        tried = []
        for column in np.flatnonzero(weights > 0):
            others = weights > 0
            others[column] = False
            fewer = fit_conditional_logit(choices, nothing, RIDGE, others, weights)
            tried.append((listing.mean(choices, fewer), -int(column), fewer))
        metric, _, fewer = max(tried, key=lambda one: one[:2])
        if metric < best or not (fewer > 0).any():
            break
        best, weights = metric, fewer
    return weights
