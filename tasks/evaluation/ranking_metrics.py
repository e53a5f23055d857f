"""Recall@K and NDCG@K of one positive among candidates, in expectation over the order of equal scores.

All metrics take numpy arrays, or tensors of this machine's memory, which numpy reads as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.plan.errors import DataError

Numbers = np.ndarray[Any, np.dtype[Any]]


def recall(above: ArrayLike, equal: ArrayLike, k: int) -> Numbers:
    """Chance that the positive is among the first `k`: [n] float64.

    `above` and `equal` [n] count the other candidates that score higher than the positive and exactly as it does; the
    order of equal scores is random, so a scorer without opinions gets k / candidates and no more. Raises DataError
    where k is below 1 or a count is negative. Source: SML's protocol, made safe for ties.
    """
    g, e = _counts(above, equal, k)
    chance: Numbers = np.clip((k - g) / (e + 1), 0, 1)
    return chance


def ndcg(above: ArrayLike, equal: ArrayLike, k: int) -> Numbers:
    """Expected 1 / log2(rank + 1) where the rank is at most `k`, else 0: [n] float64; arguments as in `recall`."""
    g, e = _counts(above, equal, k)
    discounts = 1 / np.log2(np.arange(k, dtype=np.float64) + 2)
    upto = np.concatenate([np.zeros(1), discounts.cumsum()])  # [k + 1], sum of the first m
    first, behind = (np.minimum(one, k).astype(np.int64) for one in (g, g + e + 1))
    expected: Numbers = (upto[behind] - upto[first]) / (e + 1)
    return expected


def _counts(above: ArrayLike, equal: ArrayLike, k: int) -> tuple[Numbers, Numbers]:
    if k < 1:
        raise DataError(f"K is {k}; it must be at least 1")
    g, e = np.asarray(above, dtype=np.float64), np.asarray(equal, dtype=np.float64)
    if g.shape != e.shape:
        raise DataError(f"above has shape {g.shape} and equal {e.shape}; they must be the same")
    if bool(((g < 0) | (e < 0) | np.isnan(g) | np.isnan(e)).any()):
        raise DataError("a count of candidates is negative or NaN: the scores that were ranked are not usable")
    return g, e
