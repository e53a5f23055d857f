"""Paired differences on the same rows, with an interval that takes rows of one user as dependent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.cluster_error import cluster_error
from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.summary import direction, per_interaction
from nightloop.tasks.plan.errors import DataError

FEWEST = 20  # users; with fewer the normal approximation is not valid
WIDTH = 1.959964  # of a two-sided interval of 95 %, in standard errors


@dataclass(frozen=True)
class Difference:
    """Mean difference over all shared rows, signed so that plus is better, with its 95 % interval.

    Parameters
    ----------
    mean, low, high : float
        The mean and the bounds of its interval, in the units of the metric.
    users : int
        Number of users, the clusters of the standard error.
    rows : int
        Number of rows.
    """

    mean: float
    low: float
    high: float
    users: int
    rows: int

    @property
    def sure(self) -> bool:
        """Whether zero is outside the interval."""
        return self.low > 0 or self.high < 0


def difference(
    nights: Iterable[tuple[Mapping[str, ArrayLike], Mapping[str, ArrayLike]]], metric: str
) -> Difference | None:
    """The mean of `metric` for `a` minus that for `b`, on the same rows, signed so that plus is better.

    The standard error is that of a ratio of sums over users, the clusters: d_i is what row i gains, m its mean over all
    n rows, s_u the sum of d_i - m over the rows of user u, and se^2 = G / (G - 1) * sum_u s_u^2 / n^2 with G users.

    Parameters
    ----------
    nights : iterable of tuple
        (a, b) for each night, two scored periods with the same rows, as `nightloop.tasks.evaluation.summary` reads
        them.
    metric : str
        A metric of single rows: recall@K, ndcg@K, either of them with `catalogue_` before it, or logloss.

    Returns
    -------
    Difference or None
        None with fewer than `FEWEST` users: the normal approximation does not hold.

    Raises
    ------
    DataError
        The two do not hold the same rows, or lack the columns of the metric.

    References
    ----------
    Cochran 1977, Sampling techniques, chapter 9A.

    Examples
    --------
    Twenty users; `a` puts the item of ten of them first, `b` puts none first: 0.5, and 1.96 sqrt(0.25 / 19) to each
    side.

    >>> import numpy as np
    >>> from nightloop.tasks.evaluation.paired_difference import difference
    >>> user = np.arange(20)
    >>> rows = {"user": user, "item": user, "new_user": user < 0, "new_item": user < 0, "equal": 0 * user}
    >>> found = difference([({**rows, "above": user % 2}, {**rows, "above": 0 * user + 1})], "recall@1")
    >>> print(round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.sure)
    0.5 0.275 0.725 True
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
