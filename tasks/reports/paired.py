"""Paired differences on the same rows, with an interval that knows rows of one user are not independent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.metrics.table import direction, per_interaction

FEWEST = 20  # users; with fewer the normal approximation says more than it knows
WIDTH = 1.959964  # of a two-sided interval of 95 %, in standard errors


@dataclass(frozen=True)
class Difference:
    """Mean difference over all shared rows, signed so that plus is better, with its 95 % interval."""

    mean: float
    low: float
    high: float
    users: int
    rows: int

    @property
    def sure(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def difference(nights: Iterable[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]], metric: str) -> Difference | None:
    """`a` minus `b` over nights of (a, b) per-interaction results; None with fewer than `FEWEST` users.

    The standard error is that of a ratio of sums over users, the clusters (Cochran, Sampling Techniques,
    ch. 9A): d_i is what row i gains, m its mean over all n rows, s_u the sum of d_i - m over the rows of user u, and
    se^2 = G / (G - 1) * sum_u s_u^2 / n^2 with G users. Raises ValueError where the two do not hold the same rows.
    """
    gains, users = [], []
    for a, b in nights:
        if not torch.equal(a["user"], b["user"]) or not torch.equal(a["item"], b["item"]):
            raise ValueError("paired results must hold the same rows in the same order; score both on the same night")
        gains.append(direction(metric) * (per_interaction(a, metric) - per_interaction(b, metric)).double())
        users.append(a["user"])
    return _interval(torch.cat(gains), torch.cat(users)) if gains else None


def _interval(gain: Tensor, user: Tensor) -> Difference | None:
    _, group = torch.unique(user, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    if groups < FEWEST:
        return None
    mean = gain.mean()
    sums = torch.zeros(groups, dtype=torch.float64).index_add_(0, group, gain - mean)
    error = float((sums.square().sum() * groups / (groups - 1)).sqrt()) / len(gain)
    middle = float(mean)
    return Difference(middle, middle - WIDTH * error, middle + WIDTH * error, groups, len(gain))
