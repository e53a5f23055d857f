"""Recall@K and NDCG@K of one positive among candidates, in expectation over the order of equal scores."""

from __future__ import annotations

import torch
from torch import Tensor


def recall(above: Tensor, equal: Tensor, k: int) -> Tensor:
    """Chance that the positive is among the first `k`: [n] float64.

    `above` and `equal` [n] count the other candidates that score higher than the positive and exactly as it does; the
    order of equal scores is random, so a scorer without opinions gets k / candidates and no more. Raises ValueError
    where k is below 1 or a count is negative. Source: SML's protocol, made safe for ties.
    """
    g, e = _counts(above, equal, k)
    return ((k - g) / (e + 1)).clamp(0, 1)


def ndcg(above: Tensor, equal: Tensor, k: int) -> Tensor:
    """Expected 1 / log2(rank + 1) where the rank is at most `k`, else 0: [n] float64; arguments as in `recall`."""
    g, e = _counts(above, equal, k)
    discounts = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    upto = torch.cat([torch.zeros(1, dtype=torch.float64), discounts.cumsum(0)])  # [k + 1], sum of the first m
    return (upto[(g + e + 1).clamp(max=k).long()] - upto[g.clamp(max=k).long()]) / (e + 1)


def _counts(above: Tensor, equal: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise ValueError(f"K is {k}; it must be at least 1")
    if above.shape != equal.shape:
        raise ValueError(f"above has shape {tuple(above.shape)} and equal {tuple(equal.shape)}; they must be the same")
    g, e = above.double(), equal.double()
    if bool(((g < 0) | (e < 0) | torch.isnan(g) | torch.isnan(e)).any()):
        raise ValueError("a count of candidates is negative or NaN: the scores that were ranked are not usable")
    return g, e
