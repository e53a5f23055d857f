"""Recall@K and NDCG@K of one positive among candidates, in expectation over the order of equal scores.

All metrics take numpy arrays, or tensors of this machine's memory, which numpy reads as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.leading_metric import CATALOGUE

Numbers = np.ndarray[Any, np.dtype[Any]]


def recall(above: ArrayLike, equal: ArrayLike, k: int) -> Numbers:
    """The probability that the positive is among the first `k`.

    The order of equal scores is random, so a scorer that scores everything equally gets k / candidates and no more.

    Parameters
    ----------
    above : array_like
        [n] how many other candidates score higher than the positive.
    equal : array_like
        [n] how many other candidates score exactly as high.
    k : int
        Length of the list, 1 or more.

    Returns
    -------
    ndarray
        [n] float64, 0 to 1.

    Raises
    ------
    DataError
        `k` is below 1, or a count is negative or NaN.

    References
    ----------
    Zhang et al. 2020, SML, the protocol; the expectation over ties is ours.

    Examples
    --------
    First; third to seventh with equal chances, of which three are in a list of five; twentieth.

    >>> from nightloop.tasks.evaluation.ranking_metrics import recall
    >>> recall(above=[0, 2, 19], equal=[0, 4, 0], k=5).tolist()
    [1.0, 0.6, 0.0]
    """
    g, e = _counts(above, equal, k)
    chance: Numbers = np.clip((k - g) / (e + 1), 0, 1)
    return chance


def ndcg(above: ArrayLike, equal: ArrayLike, k: int) -> Numbers:
    """Expected 1 / log2(rank + 1) if the rank is at most `k`, else 0.

    With one positive it is the NDCG. The order of equal scores is random.

    Parameters
    ----------
    above : array_like
        [n] how many other candidates score higher than the positive.
    equal : array_like
        [n] how many other candidates score exactly as high.
    k : int
        Length of the list, 1 or more.

    Returns
    -------
    ndarray
        [n] float64, 0 to 1.

    Raises
    ------
    DataError
        `k` is below 1, or a count is negative or NaN.

    Examples
    --------
    First; second or third with equal chances, in a list of two: (1 / log2(3) + 0) / 2.

    >>> from nightloop.tasks.evaluation.ranking_metrics import ndcg
    >>> ndcg(above=[0, 1], equal=[0, 1], k=2).round(3).tolist()
    [1.0, 0.315]
    """
    g, e = _counts(above, equal, k)
    discounts = 1 / np.log2(np.arange(k, dtype=np.float64) + 2)
    upto = np.concatenate([np.zeros(1), discounts.cumsum()])  # [k + 1], sum of the first m
    first, behind = (np.minimum(one, k).astype(np.int64) for one in (g, g + e + 1))
    expected: Numbers = (upto[behind] - upto[first]) / (e + 1)
    return expected


def mean_ranking_metrics(scored: Mapping[str, Numbers], ks: Sequence[int]) -> dict[str, float]:
    """Means over the rows of a scored period, and over those that were ranked against the whole catalogue, by name."""
    metrics = {"rows": float(len(scored["user"])), **_mean_metrics(scored["above"], scored["equal"], ks, "")}
    if f"{CATALOGUE}above" not in scored:
        return metrics
    above, equal = (scored[f"{CATALOGUE}{name}"] for name in ("above", "equal"))
    return {**metrics, **_mean_metrics(above[above >= 0], equal[above >= 0], ks, CATALOGUE)}


def _mean_metrics(above: Numbers, equal: Numbers, ks: Sequence[int], prefix: str) -> dict[str, float]:
    """Means over the rows by name; nothing without rows."""
    measures = {"recall": recall, "ndcg": ndcg}
    return {
        f"{prefix}{name}@{k}": float(measure(above, equal, k).mean())
        for k in ks
        for name, measure in measures.items()
        if len(above)
    }


def _counts(above: ArrayLike, equal: ArrayLike, k: int) -> tuple[Numbers, Numbers]:
    if k < 1:
        raise DataError(f"K is {k}; it must be at least 1")
    g, e = np.asarray(above, dtype=np.float64), np.asarray(equal, dtype=np.float64)
    if g.shape != e.shape:
        raise DataError(f"above has shape {g.shape} and equal {e.shape}; they must be the same")
    if bool(((g < 0) | (e < 0) | np.isnan(g) | np.isnan(e)).any()):
        raise DataError("a count of candidates is negative or NaN: the scores that were ranked are not usable")
    return g, e
