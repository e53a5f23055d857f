"""Paired differences on the same rows, with intervals that know of users, pools, nights and many comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.cluster_error import cluster_error, two_way_error
from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.summary import direction, per_interaction
from nightloop.tasks.plan.errors import DataError

FEWEST = 20  # users; with fewer the normal approximation is not valid
LEVEL = 0.05  # probability that a two-sided interval misses


@dataclass(frozen=True)
class Difference:
    """Mean difference over all shared rows, signed so that plus is better, with its interval of 95 %.

    Parameters
    ----------
    mean, low, high : float
        The mean and the bounds of its interval, in the units of the metric.
    users : int
        Number of users.
    rows : int
        Number of rows.
    error : float
        Standard error: over users, pools of candidates and nights.
    freedom : int or None
        Degrees of freedom of the error: the nights less one. None with one night, which shows no night effect; then the
        interval is that of the normal distribution.
    """

    mean: float
    low: float
    high: float
    users: int
    rows: int
    error: float
    freedom: int | None

    @property
    def sure(self) -> bool:
        """Whether zero is outside the interval."""
        return self.low > 0 or self.high < 0

    def at_level(self, level: float) -> Difference:
        """The same with the interval that misses with probability `level`."""
        from scipy.special import ndtri, stdtrit  # only here: the import takes half a second

        t = float(stdtrit(self.freedom, 1 - level / 2) if self.freedom else ndtri(1 - level / 2))
        return replace(self, low=self.mean - t * self.error, high=self.mean + t * self.error)

    @property
    def chance(self) -> float:
        """Two-sided p-value: the chance of such a difference or a larger one if there is none."""
        from scipy.special import ndtr, stdtr

        if not self.error:
            return 1.0 if not self.mean else 0.0
        t = -abs(self.mean) / self.error
        return 2 * float(stdtr(self.freedom, t) if self.freedom else ndtr(t))

    @property
    def flipped(self) -> Difference:
        """The same from the other side: `b` minus `a`."""
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low)


def difference(
    pairs: Iterable[tuple[Mapping[str, ArrayLike], Mapping[str, ArrayLike]]],
    metric: str,
    nights: Sequence[int] | None = None,
) -> Difference | None:
    """The mean of `metric` for `a` minus that for `b`, on the same rows, signed so that plus is better.

    Rows are not independent if they are of one user, of one night, or were ranked against one pool of candidates. d_i is
    what row i gains and m its mean over all n rows. For each such clustering the sums of (d_i - m) / n over a cluster are
    squared and added up; the error is that of users and pools, and what nights add to rows of a user in a night. A night
    is one observation, however many rows it has, so the interval is Student's t with the nights less one.

    Parameters
    ----------
    pairs : iterable of tuple
        (a, b): two scored periods with the same rows, as `nightloop.tasks.evaluation.summary` reads them.
    metric : str
        A metric of single rows: recall@K, ndcg@K, either of them with `catalogue_` before it, logloss or auc.
    nights : sequence of int or None, default None
        The night of each pair: several seeds share nights. None: every pair is a night of its own.

    Returns
    -------
    Difference or None
        None with fewer than `FEWEST` users: the normal approximation does not hold. None if there is no pair, and for
        auc if no pair has both classes.

    Raises
    ------
    DataError
        The two do not hold the same rows, or lack the columns of the metric.

    References
    ----------
    Cochran 1977, Sampling techniques, chapter 9A.
    Cameron, Gelbach and Miller 2011, Robust inference with multiway clustering.

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
    columns: list[tuple[Numbers, Numbers, Numbers, Numbers]] = []
    for place, (a, b) in enumerate(pairs):
        if not np.array_equal(a["user"], b["user"]) or not np.array_equal(a["item"], b["item"]):
            raise DataError("paired results must hold the same rows in the same order; score both on the same night")
        user = np.asarray(a["user"], dtype=np.int64)
        if metric == "auc" and not 0 < np.asarray(a["label"]).sum() < len(user):
            continue
        gain = direction(metric) * (per_interaction(a, metric) - per_interaction(b, metric))
        pool = np.asarray(a["pool"] if "pool" in a else np.arange(len(user)), dtype=np.int64) + place * 2**32
        columns.append((gain, user, pool, np.full(len(user), nights[place] if nights else place)))
    if not columns:
        return None
    gain, user, pool, night = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    mean = float(gain.mean()) if len(gain) else 0.0
    influence = (gain - mean) / max(len(gain), 1)
    users, distinct = len(np.unique(user)), np.unique(night, return_inverse=True)[1]
    if users < FEWEST:
        return None
    by_user = two_way_error(influence, user, pool)
    by_night, count = cluster_error(influence, distinct)
    both, _ = cluster_error(influence, np.unique(user, return_inverse=True)[1] * count + distinct)
    error = float(np.sqrt(by_user**2 + max(by_night**2 - both**2, 0.0))) if count > 1 else by_user
    found = Difference(mean, mean, mean, users, len(gain), error, count - 1 or None)
    return found.at_level(LEVEL)


def holm(gaps: Sequence[Difference | None]) -> list[Difference | None]:
    """The same differences with intervals that all hold together with 95 %.

    The surest of k gets an interval of 1 - 0.05 / k, the next of 1 - 0.05 / (k - 1), and so on until one does not leave
    zero out; those behind it get its level, and none of them is sure.

    Parameters
    ----------
    gaps : sequence of Difference or None
        What is compared at once, for example all entrants with one control.

    Returns
    -------
    list of Difference or None
        In the same order.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure.

    Examples
    --------
    Two are sure alone; together only the first is.

    >>> from nightloop.tasks.evaluation.paired_difference import Difference, holm
    >>> gaps = [Difference(m, m, m, 99, 99, error=1.0, freedom=None).at_level(0.05) for m in (3.0, 2.1, 0.5)]
    >>> [gap.sure for gap in gaps], [gap.sure for gap in holm(gaps)]
    ([True, True, False], [True, False, False])
    """
    found = list(gaps)
    order = sorted((i for i, gap in enumerate(gaps) if gap is not None), key=lambda i: _chance(gaps[i]))
    level, stopped = LEVEL, False
    for place, i in enumerate(order):
        level = level if stopped else LEVEL / (len(order) - place)
        gap = gaps[i]
        found[i] = gap.at_level(level) if gap is not None else None
        stopped = stopped or _chance(gap) >= level
    return found


def _chance(gap: Difference | None) -> float:
    return gap.chance if gap is not None else 1.0
