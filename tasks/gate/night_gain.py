"""The gain of one night: how many standard errors a challenger gained, and how much of that is due to yesterday's users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightloop.tasks.evaluation.cluster_error import cluster_sums, two_way_error
from nightloop.tasks.gate.bootstrap import FEWEST
from nightloop.tasks.gate.evidence import Pool

ROUNDING = 1e-12  # of the largest gain of a row: a sum of gains below this is 0
DIGITS = 9  # so that the last bits of a sum change no manifest


@dataclass(frozen=True)
class NightGain:
    """One challenger's gain in one night.

    Parameters
    ----------
    errors : float
        Mean gain divided by its standard error over users and over pools of candidates.
    overlap : float or None
        Covariance of the means of this night and the one before, because of users who were there on both, divided by the
        two standard errors. None: there is no night before with a gain of this challenger.
    """

    errors: float
    overlap: float | None


def night_gain(pool: Pool, before: Pool | None, min_gain: float) -> NightGain | None:
    """The gain of a night over `min_gain` times what served, in standard errors.

    A standard error is at least |mean| / sqrt(users): no estimate from so many users can say more.

    Parameters
    ----------
    pool : Pool
        The paired rows of the night.
    before : Pool or None
        The paired rows of the night before.
    min_gain : float
        Relative gain that is not worth a promotion.

    Returns
    -------
    NightGain or None
        None with fewer than `FEWEST` users, and if no user gained or lost anything: not a single row differs, or each
        user's gains and losses are equal.

    Examples
    --------
    Half of forty users gain 1, on both nights the same.

    >>> import torch
    >>> from nightloop.tasks.gate.evidence import Evidence, pool_nights
    >>> from nightloop.tasks.gate.night_gain import night_gain
    >>> user, no = torch.arange(40), torch.zeros(40, dtype=torch.bool)
    >>> rows = {"user": user, "item": user, "new_user": no, "new_item": no, "equal": 0 * user}
    >>> night = Evidence(0, {**rows, "above": 0 * user + 1}, {"SML": {**rows, "above": user % 2}})
    >>> pool = pool_nights([night], "SML", "recall@1")
    >>> gain = night_gain(pool, pool, 0.0)
    >>> print(round(gain.errors, 2), round(gain.overlap, 2))
    6.24 0.97
    """
    tonight = _mean_gain(pool, min_gain)
    if tonight is None:
        return None
    earlier = _mean_gain(before, min_gain) if before is not None else None
    overlap = _overlap(tonight, earlier) if earlier is not None else None
    return NightGain(_rounded(tonight.mean / tonight.error), overlap)


class _MeanGain(NamedTuple):
    mean: float
    error: float
    users: NDArray[np.int64]
    moved: NDArray[np.float64]  # by each user


def _mean_gain(pool: Pool, min_gain: float) -> _MeanGain | None:
    gain, user = (pool.gain - min_gain * pool.served).numpy(), pool.user.numpy()
    _, by_user = cluster_sums(gain, user)
    if not np.abs(by_user).max(initial=0.0) > ROUNDING * np.abs(gain).max(initial=0.0):
        return None
    mean = float(gain.mean())
    influence = (gain - mean) / len(gain)
    users, moved = cluster_sums(influence, user)
    if len(users) < FEWEST:
        return None
    error = max(two_way_error(influence, user, pool.draw.numpy()), abs(mean) / len(users) ** 0.5)
    return _MeanGain(mean, error, users, moved)


def _overlap(one: _MeanGain, other: _MeanGain) -> float:
    _, here, there = np.intersect1d(one.users, other.users, assume_unique=True, return_indices=True)
    return _rounded(float(one.moved[here] @ other.moved[there]) / (one.error * other.error))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
