"""How sure a mean over rows is when rows of one user belong together: the bootstrap over users."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import ceil, inf
from statistics import NormalDist

import torch
from torch import Tensor

from nightloop.tasks.evaluation.cluster_error import cluster_error

FEWEST = 20  # users; with fewer the resamples are too alike to say anything
MOST = 4096  # groups; more users than that share groups at random, which widens no interval to speak of
POOLS = 8  # groups; the spread between fewer is anybody's guess
TAIL = 10  # resamples that must lie beyond a bound, or the bound is a guess


@dataclass(frozen=True)
class Resamples:
    """How often each group of users was drawn in each resample, and whose each row is."""

    user: Tensor  # [n] int64, from 0
    draw: Tensor  # [n] int64, from 0: rows that share the luck of one pool of candidates
    group: Tensor  # [users] int64
    counts: Tensor  # [R, G] float64


@dataclass(frozen=True)
class Interval:
    """A mean and how low and high it may be, each bound with its own chance alpha of being wrong."""

    mean: float
    low: float
    high: float
    users: int
    rows: int


def resample(user: Tensor, draw: Tensor, resamples: int, alpha: float, name: str) -> Resamples:
    """At least `resamples` draws of as many users as there are, with replacement; the same for the same `name`.

    `user` and `draw` [n] are the user and the pool of candidates of each row. Bounds at a small `alpha` need more
    resamples, so that enough lie beyond them.
    """
    users, mine = torch.unique(user, return_inverse=True)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    groups = min(len(users), MOST)
    group = torch.randperm(len(users), generator=generator) % max(groups, 1)
    draws = max(resamples, ceil(TAIL / alpha))
    drawn = torch.randint(max(groups, 1), (draws, groups), generator=generator)
    counts = torch.zeros(draws, groups, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
    return Resamples(mine, torch.unique(draw, return_inverse=True)[1], group, counts)


def interval(gain: Tensor, rows: Tensor, drawn: Resamples, alpha: float) -> Interval | None:
    """The mean of `gain` [n] over the rows where `rows` [n] bool holds; None with fewer than `FEWEST` users there.

    Each bound is wrong with chance `alpha`: the studentised bootstrap (Efron and Tibshirani 1993, section 12.5), but
    never narrower than Student's t with a degree less than there are users with a gain or a loss, because resamples of
    very few are too alike. S_g and n_g are the sum and the number of a group's rows, m = sum S_g / n:
    se^2 = G / (G - 1) * sum (S_g - m n_g)^2 / n^2, the error of a ratio (Cochran, Sampling Techniques, section 6.4).
    Rows that share a pool of candidates share its luck: both bounds are moved out by what that adds to the error.
    """
    user, values = drawn.user[rows], gain[rows]
    people = len(torch.unique(user))
    if people < FEWEST:
        return None
    group = drawn.group[user]
    each = torch.bincount(group, minlength=drawn.counts.shape[1]).double()
    total = torch.zeros_like(each).index_add_(0, group, values)
    parts = torch.stack([total, each, total * total, total * each, each * each], 1)  # all that a resample needs
    groups = int((each > 0).sum())
    mean, error = _ratio(parts.sum(0), groups)
    if not bool(error):
        return Interval(float(mean), float(mean), float(mean), people, len(values))
    means, errors = _ratio(drawn.counts @ parts, groups)
    t = torch.where(means == mean, torch.zeros_like(means), (means - mean) / errors).sort().values
    beyond = max(int(alpha * len(t)), 1)
    least = student(alpha, len(torch.unique(user[values != 0])) - 1)
    below, above = max(float(t[-beyond]), least), max(-float(t[beyond - 1]), least)
    middle, width = float(mean), float(error) * _shared(values, user, drawn.draw[rows])
    return Interval(middle, middle - below * width, middle + above * width, people, len(values))


def _shared(values: Tensor, user: Tensor, draw: Tensor) -> float:
    """How much larger the error is than users alone make it: clustered both ways (Cameron, Gelbach and Miller 2011)."""
    influence = (values - values.mean()) / len(values)
    errors = (cluster_error(influence, cluster) for cluster in (user, draw, torch.arange(len(values))))
    by_user, by_draw, by_row = (error**2 if clusters >= POOLS else 0.0 for error, clusters in errors)
    return max(1.0, (by_user + by_draw - by_row) / by_user) ** 0.5 if by_user else 1.0


def student(alpha: float, freedom: int) -> float:
    """The value that Student's t exceeds with chance `alpha`; infinite without a degree of freedom.

    Expansion about the normal quantile, to the second order (Abramowitz and Stegun 26.7.5).
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
    floor = 1e-24 * (ss + mean * mean * nn)  # what rounding leaves of equal values is no spread
    return mean, torch.where(spread > floor, spread, torch.zeros_like(spread)).sqrt() / n
