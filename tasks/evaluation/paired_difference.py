"""Paired differences on the same rows, with an interval that knows rows of one user are not independent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.cluster_error import cluster_error
from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.summary import direction, per_interaction
from nightloop.tasks.plan.errors import DataError

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


def difference(
    nights: Iterable[tuple[Mapping[str, ArrayLike], Mapping[str, ArrayLike]]], metric: str
) -> Difference | None:
    """`a` minus `b` over nights of (a, b) per-interaction results; None with fewer than `FEWEST` users.

    The standard error is that of a ratio of sums over users, the clusters (Cochran, Sampling Techniques,
    ch. 9A): d_i is what row i gains, m its mean over all n rows, s_u the sum of d_i - m over the rows of user u, and
    se^2 = G / (G - 1) * sum_u s_u^2 / n^2 with G users. Raises DataError if the two do not hold the same rows.
    """
    gains, users = [], []
    for a, b in nights:
        if not np.array_equal(a["user"], b["user"]) or not np.array_equal(a["item"], b["item"]):
            raise DataError("paired results must hold the same rows in the same order; score both on the same night")
        gains.append(direction(metric) * (per_interaction(a, metric) - per_interaction(b, metric)))
        users.append(np.asarray(a["user"]))
    return _interval(np.concatenate(gains), np.concatenate(users)) if gains else None


def _interval(gain: Numbers, user: Numbers) -> Difference | None:
    middle = float(gain.mean()) if len(gain) else 0.0
    error, users = cluster_error((gain - middle) / max(len(gain), 1), user)
    if users < FEWEST:
        return None
    return Difference(middle, middle - WIDTH * error, middle + WIDTH * error, users, len(gain))
