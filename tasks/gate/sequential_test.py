"""Sequential test: evidence that a mean gain is above zero. It may be looked at every night and stopped at any."""

from __future__ import annotations

from math import pi
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

# What a gain may be, as weight and variance in units of the variance between nights: a small one or a large one.
SCALES = ((0.6, 0.5), (0.4, 9.0))
RESERVE = 0.4  # part of alpha that is kept for rivals that join while a strategy serves
YEAR = 365  # nights
MEMORY = 12.0  # most nights that earlier evidence on the variance counts as, since rivals differ in it
TINY, FAR = float(np.finfo(np.float64).tiny), 1e-280  # the smallest number; below the second, logarithms are used
MOST_COMMON = 0.95  # correlation of two nights with the same users; at 1 a second night would say nothing


def log_evidence(
    nights: ArrayLike,
    total: ArrayLike,
    squares: ArrayLike,
    prior_nights: ArrayLike = 0.0,
    prior_squares: ArrayLike = 0.0,
    common: ArrayLike = 0.0,
) -> Floats:
    """Logarithm of an e-value against "the mean gain is not above zero". All arguments may be arrays.

    The gains x_1 .. x_T of T nights are taken as normal with mean d + u and unknown variance v. d is the true gain. u is
    what the same users prefer on every night; its variance is `common` times v. Under the null hypothesis d = 0; under
    the alternative d is positive, with the half-normal distributions of `SCALES`. v has the distribution 1 / v of an
    unknown scale, updated by earlier nights of other rivals: `prior_squares` is a sum of squares with `prior_nights`
    degrees of freedom. With A(k) = prior_squares + squares - total^2 k / (1 + k T), n = prior_nights + T, h = common and
    k = h + g, the ratio of the two likelihoods for one scale g is

        2 sqrt((1 + h T) / (1 + k T)) (A(h) / A(k))^(n / 2) F(total sqrt(g n / ((1 + h T) (1 + k T) A(k)))),

    where F is the distribution function of Student's t with n degrees of freedom. At d = 0 the ratio is a martingale with
    mean 1 for every v, so it exceeds 1 / alpha at any time with a probability of at most alpha (Ville). For d < 0 it is
    smaller. Without earlier nights it is the t-test of Lai (1976).

    Parameters
    ----------
    nights : array_like
        T, the number of nights.
    total, squares : array_like
        Sum of the gains and of their squares. Each gain is in units of its night's standard error over users.
    prior_nights, prior_squares : array_like, default 0
        Degrees of freedom and sum of squares of what is known about v beforehand; 0: nothing.
    common : array_like, default 0
        Variance that all nights have in common, because of the same users, divided by v. 0: every night has its own users.

    Returns
    -------
    ndarray of float
        0 where `nights` is 0.

    References
    ----------
    Lai 1976, On confidence sequences, section 5 (the t-test with an unknown scale).
    Wang and Ramdas 2025, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance.
    Howard et al. 2021, Time-uniform, nonparametric, nonasymptotic confidence sequences (the normal mixture).
    Smyth 2004, Linear models and empirical Bayes methods (a variance with prior degrees of freedom).

    Examples
    --------
    Ten nights with a mean gain of one and a half standard errors, and a standard deviation of 1 between the nights.

    >>> import numpy as np
    >>> from nightloop.tasks.gate.sequential_test import log_evidence
    >>> print(np.exp(log_evidence(10, 15.0, 22.5 + 9.0)).round())
    83.0
    >>> print(np.exp(log_evidence(10, 15.0, 22.5 + 9.0, common=1.0)).round(1))
    1.6
    """
    t, s, v, n0, v0, h = (
        np.asarray(a, dtype=np.float64) for a in (nights, total, squares, prior_nights, prior_squares, common)
    )
    null = v0 + v - s * s * h / (1 + h * t)
    parts = [np.log(weight) + _log_ratio(t, s, v0 + v, n0 + t, h, g, null) for weight, g in SCALES]
    return np.where(null > 0, np.logaddexp.reduce(parts), 0.0)


def _log_ratio(t: Floats, s: Floats, v: Floats, n: Floats, h: Floats, g: float, null: Floats) -> Floats:
    k = h + g
    free, bound = 1 + h * t, 1 + k * t
    rest = np.maximum(v - s * s * k / bound, TINY)
    t_value = s * np.sqrt(g * n / (free * bound * rest))
    log_cdf = np.where(n > 0, _log_student(np.maximum(n, 1e-9), t_value), np.log(0.5))
    growth = n / 2 * np.log(np.maximum(null, TINY) / rest)
    result: Floats = np.log(2) + log_cdf + 0.5 * np.log(free / bound) + growth
    return result


def _log_student(n: Floats, t_value: Floats) -> Floats:
    """Logarithm of the distribution function of Student's t, also where that is too small for a number.

    There it is I_x(n / 2, 1 / 2) / 2 with x = n / (n + t^2), and the incomplete beta function is taken at its bound, the first
    term of its series divided by 1 - x (DLMF 8.17.8).
    """
    from scipy.special import betaln, stdtr  # only here: the import takes half a second

    x = n / (n + np.minimum(t_value, -1.0) ** 2)
    far = n / 2 * np.log(x) - 0.5 * np.log1p(-x) - np.log(n) - betaln(n / 2, 0.5)
    cdf = stdtr(n, t_value)
    result: Floats = np.where(cdf > FAR, np.log(np.maximum(cdf, TINY)), far)
    return result


def log_needed(alpha: ArrayLike, term: ArrayLike, share: ArrayLike) -> Floats:
    """Logarithm of the evidence that a promotion needs.

    The k-th term of a year may spend alpha 6 / (pi^2 k^2), which sums to alpha over all k, and a rival its share of that.

    Parameters
    ----------
    alpha : array_like
        Probability of any false promotion in a year.
    term : array_like
        k: 1 and the number of terms that ended within the last `YEAR` nights.
    share : array_like
        The rival's part of the term's probability.

    Returns
    -------
    ndarray of float
        log(1 / probability).

    Examples
    --------
    The first term of a year, and a rival that has a third of it.

    >>> import numpy as np
    >>> from nightloop.tasks.gate.sequential_test import log_needed
    >>> print(np.exp(log_needed(0.05, 1, 1 / 3)).round())
    99.0
    """
    result: Floats = -np.log(np.asarray(alpha) * spending(term) * np.asarray(share))
    return result


def spending(order: ArrayLike) -> Floats:
    """The part of a probability that the k-th of any number of uses may spend: 6 / (pi^2 k^2). The parts sum to 1."""
    result: Floats = 6 / (pi * np.asarray(order, dtype=np.float64)) ** 2
    return result


def common_variance(
    correlation: ArrayLike,
    nights: ArrayLike,
    total: ArrayLike,
    squares: ArrayLike,
    prior_nights: ArrayLike = 0.0,
    prior_squares: ArrayLike = 0.0,
) -> Floats:
    """The variance that all nights have in common because of the same users, divided by the one that they do not.

    Parameters
    ----------
    correlation : array_like
        Mean correlation of two nights because of the same users, with respect to the error over users; below 0 counts as 0.
    nights, total, squares, prior_nights, prior_squares : array_like
        As for `log_evidence`. The second variance is estimated from them; it is at least what the users of one night
        leave, 1 - correlation.

    Returns
    -------
    ndarray of float
        For `log_evidence`; 0 if every night has its own users.

    Examples
    --------
    A fifth of the error over users is the same every night, and nights differ by twice that error.

    >>> from nightloop.tasks.gate.sequential_test import common_variance
    >>> print(common_variance(0.2, nights=11, total=0.0, squares=40.0).round(3))
    0.05
    """
    rho = np.clip(np.asarray(correlation, dtype=np.float64), 0.0, MOST_COMMON)
    freedom, spread = _spread(nights, total, squares, prior_nights, prior_squares)
    return rho / np.maximum(1 - rho, spread / np.maximum(freedom, 1.0))


def remember(
    prior_nights: ArrayLike, prior_squares: ArrayLike, nights: ArrayLike, total: ArrayLike, squares: ArrayLike
) -> tuple[Floats, Floats]:
    """What is known about the variance between nights after those of several rivals, as `log_evidence` takes it.

    The squares about each rival's own mean are pooled. Rivals of one night are compared with the same champion, so they
    count as one: the degrees of freedom are those of the longest run. All together count as at most `MEMORY` nights.

    Parameters
    ----------
    prior_nights, prior_squares : array_like of shape [...]
        What was known before.
    nights, total, squares : array_like of shape [..., rivals]
        The rivals' nights, sums of gains and sums of their squares.

    Returns
    -------
    tuple of ndarray of shape [...]
        Degrees of freedom and sum of squares.

    Examples
    --------
    Two rivals of 21 nights whose gains have variances of 2 and 4.

    >>> from nightloop.tasks.gate.sequential_test import remember
    >>> nights, squares = remember(0.0, 0.0, nights=[21, 21], total=[0.0, 0.0], squares=[40.0, 80.0])
    >>> print(nights, squares)
    12.0 36.0
    """
    freedom, spread = _spread(nights, total, squares)
    longest, every = freedom.max(-1, initial=0.0), freedom.sum(-1)
    pooled = np.where(every > 0, spread.sum(-1) / np.maximum(every, 1.0), 0.0)
    known = np.asarray(prior_nights) + longest
    part = np.minimum(1.0, MEMORY / np.maximum(known, 1.0))
    return known * part, (np.asarray(prior_squares) + longest * pooled) * part


def _spread(
    nights: ArrayLike,
    total: ArrayLike,
    squares: ArrayLike,
    prior_nights: ArrayLike = 0.0,
    prior_squares: ArrayLike = 0.0,
) -> tuple[Floats, Floats]:
    """Degrees of freedom and the sum of squares about the mean."""
    t, s, v = (np.asarray(a, dtype=np.float64) for a in (nights, total, squares))
    freedom = np.asarray(prior_nights) + np.maximum(t - 1, 0.0)
    return freedom, np.asarray(prior_squares) + np.maximum(v - s * s / np.maximum(t, 1.0), 0.0)
