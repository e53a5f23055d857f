"""The uncertainty of a mean over rows if rows of one user are not independent: the bootstrap over users."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import ceil, inf
from statistics import NormalDist

import torch
from torch import Tensor

from nightloop.tasks.evaluation.cluster_error import cluster_error, two_way_error

FEWEST = 20  # users; with fewer the resamples are too similar
MOST = 4096  # groups; more users share groups at random, which hardly widens an interval
TAIL = 10  # fewest resamples beyond a bound that make it reliable
MOST_DRAWS = 20_000  # that a small alpha asks for: 0.7 GB with many users. Student's t is a bound besides


@dataclass(frozen=True)
class Resamples:
    """How often each group of users was drawn in each resample, and whose each row is."""

    user: Tensor  # [n] int64, from 0
    draw: Tensor  # [n] int64, from 0: rows of one number share a pool of candidates and its random error
    group: Tensor  # [users] int64
    counts: Tensor  # [R, G] float64


@dataclass(frozen=True)
class Interval:
    """A mean and its lower and upper bound, each wrong with its own probability alpha.

    Parameters
    ----------
    mean, low, high : float
        In the units of the metric.
    users : int
        Number of users.
    rows : int
        Number of rows.
    """

    mean: float
    low: float
    high: float
    users: int
    rows: int


def resample(user: Tensor, draw: Tensor, resamples: int, alpha: float, name: str) -> Resamples:
    """Draws of as many users as there are, with replacement; the same for the same `name`.

    Parameters
    ----------
    user : Tensor
        [n] the user of each row.
    draw : Tensor
        [n] the pool of candidates of each row.
    resamples : int
        Draws at least. A small `alpha` needs more, so that enough lie beyond the bounds.
    alpha : float
        Probability of a mistake of each bound.
    name : str
        Seed of the draws.

    Returns
    -------
    Resamples
        For `interval`.

    Examples
    --------
    Three users are drawn three times in each of 200 resamples.

    >>> import torch
    >>> from nightloop.tasks.gate.bootstrap import resample
    >>> sampled = resample(torch.tensor([5, 5, 7, 9]), torch.arange(4), 200, 0.05, "night")
    >>> tuple(sampled.counts.shape), sampled.counts.sum(1).unique().tolist()
    ((200, 3), [3.0])
    """
    users, user_of_row = torch.unique(user, return_inverse=True)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    groups = min(len(users), MOST)
    group = torch.randperm(len(users), generator=generator) % max(groups, 1)
    draws = max(resamples, min(ceil(TAIL / alpha), MOST_DRAWS))
    sampled = torch.randint(max(groups, 1), (draws, groups), generator=generator)
    counts = torch.zeros(draws, groups, dtype=torch.float64).scatter_add_(1, sampled, torch.ones_like(sampled).double())
    return Resamples(user_of_row, torch.unique(draw, return_inverse=True)[1], group, counts)


def interval(gain: Tensor, rows: Tensor, resamples: Resamples, alpha: float) -> Interval | None:
    """The mean of `gain` over some rows, with a lower and an upper bound.

    Each bound is wrong with probability `alpha`: the studentised bootstrap, but never narrower than Student's t with
    one degree of freedom less than there are users with a gain or a loss, because resamples of very few are too alike.
    S_g and n_g are the sum and the number of a group's rows, m = sum S_g / n: se^2 = G / (G - 1) * sum (S_g - m n_g)^2
    / n^2, the error of a ratio. Rows of one pool of candidates share the random error of its draw: both bounds are
    moved out by what that adds.

    Parameters
    ----------
    gain : Tensor
        [n] float64.
    rows : Tensor
        [n] bool, the rows that count.
    resamples : Resamples
        Resamples of the users of all n rows.
    alpha : float
        Probability of a mistake of each bound.

    Returns
    -------
    Interval or None
        None with fewer than `FEWEST` users.

    References
    ----------
    Efron and Tibshirani 1993, An introduction to the bootstrap, section 12.5.
    Cochran 1977, Sampling techniques, section 6.4 (the error of a ratio).

    Examples
    --------
    Half of forty users gain 1.

    >>> import torch
    >>> from nightloop.tasks.gate.bootstrap import interval, resample
    >>> user = torch.arange(40)
    >>> found = interval((user % 2).double(), user >= 0, resample(user, user, 1000, 0.05, "night"), alpha=0.05)
    >>> print(round(found.mean, 2), round(found.low, 1), round(found.high, 1))
    0.5 0.4 0.6
    """
    user, values = resamples.user[rows], gain[rows]
    user_count = len(torch.unique(user))
    if user_count < FEWEST:
        return None
    group = resamples.group[user]
    row_count = torch.bincount(group, minlength=resamples.counts.shape[1]).double()
    total = torch.zeros_like(row_count).index_add_(0, group, values)
    parts = torch.stack(
        [total, row_count, total * total, total * row_count, row_count * row_count], 1
    )  # the sums that a resample needs
    groups = int((row_count > 0).sum())
    mean, error = _ratio(parts.sum(0), groups)
    if not bool(error):
        return Interval(float(mean), float(mean), float(mean), user_count, len(values))
    means, errors = _ratio(resamples.counts @ parts, groups)
    t = torch.where(means == mean, torch.zeros_like(means), (means - mean) / errors).sort().values
    beyond = max(int(alpha * len(t)), 1)
    least = student_quantile(alpha, len(torch.unique(user[values != 0])) - 1)
    below, above = max(float(t[-beyond]), least), max(-float(t[beyond - 1]), least)
    middle, width = float(mean), float(error) * _shared(values, user, resamples.draw[rows])
    return Interval(middle, middle - below * width, middle + above * width, user_count, len(values))


def _shared(values: Tensor, user: Tensor, draw: Tensor) -> float:
    """Factor of the error over that of users alone: what a random error that rows of one pool share adds."""
    influence = (values - values.mean()) / len(values)
    by_user, _ = cluster_error(influence, user)
    return max(1.0, two_way_error(influence, user, draw) / by_user) if by_user else 1.0


def student_quantile(alpha: float, freedom: int) -> float:
    """The value that Student's t exceeds with probability `alpha`; infinite without a degree of freedom.

    An expansion about the normal quantile, to the second order.

    Parameters
    ----------
    alpha : float
        Probability, one-sided.
    freedom : int
        Degrees of freedom.

    Returns
    -------
    float
        0 or more for `alpha` up to 1/2.

    References
    ----------
    Abramowitz and Stegun 1964, Handbook of mathematical functions, 26.7.5.

    Examples
    --------
    Tables have 2.228.

    >>> from nightloop.tasks.gate.bootstrap import student_quantile
    >>> print(round(student_quantile(0.025, 10), 3))
    2.225
    """
    if freedom < 1:
        return inf
    z = NormalDist().inv_cdf(1 - alpha)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _ratio(sums: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and standard error from the sums of S, n, S^2, S n and n^2 in the last dimension."""
    s, n, ss, sn, nn = sums.unbind(-1)
    n = n.clamp(min=1)
    mean = s / n
    spread = (ss - 2 * mean * sn + mean * mean * nn).clamp(min=0) * groups / (groups - 1)
    floor = 1e-24 * (ss + mean * mean * nn)  # equal values have no spread; below the floor it is rounding
    return mean, torch.where(spread > floor, spread, torch.zeros_like(spread)).sqrt() / n
