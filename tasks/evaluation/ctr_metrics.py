"""How good predicted probabilities are: log loss, calibration and its error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.plan.errors import DataError

SMALLEST = 1e-7  # float32 cannot say 1 - 1e-8; a certain and wrong prediction costs 16.1, not infinity


def normalised_entropy(label: ArrayLike, prediction: ArrayLike) -> float:
    """Mean log loss divided by that of predicting the mean label for every row.

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] probabilities.

    Returns
    -------
    float
        0 or more, less is better. Below 1 something was learned.

    Raises
    ------
    DataError
        NaN, a single class, or a prediction that is no probability.

    References
    ----------
    He et al. 2014, Practical lessons from predicting clicks on ads at Facebook, section 3.

    Examples
    --------
    The mean label for every row, and something better.

    >>> from nightloop.tasks.evaluation.ctr_metrics import normalised_entropy
    >>> [round(normalised_entropy([1, 0, 0, 0], p), 3) for p in ([0.25] * 4, [0.7, 0.1, 0.1, 0.1])]
    [1.0, 0.299]
    """
    y, _ = checked_predictions(label, prediction)
    rate = y.mean()
    if not 0 < float(rate) < 1:
        raise DataError("normalised entropy needs both classes")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return float(logloss(label, prediction).mean() / entropy)


def logloss(label: ArrayLike, prediction: ArrayLike) -> Numbers:
    """Cross-entropy of each row in nats.

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] probabilities. They are cut at 1e-7 and 1 - 1e-7, so that a row costs 16.1 at most.

    Returns
    -------
    ndarray
        [n] float64, less is better.

    Raises
    ------
    DataError
        NaN, or a prediction that is no probability.

    Examples
    --------
    log 2 and log 10.

    >>> from nightloop.tasks.evaluation.ctr_metrics import logloss
    >>> logloss([1, 0], [0.5, 0.9]).round(3).tolist()
    [0.693, 2.303]
    """
    y, p = checked_predictions(label, prediction)
    _probabilities(p)
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    lost: Numbers = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return lost


def calibration(label: ArrayLike, prediction: ArrayLike) -> float:
    """Predicted positives divided by observed positives.

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] probabilities.

    Returns
    -------
    float
        1 is right, below 1 too few positives were predicted.

    Raises
    ------
    DataError
        No positive was observed, NaN, or a prediction that is no probability.

    Examples
    --------
    One positive was observed, and 0.5 were predicted.

    >>> from nightloop.tasks.evaluation.ctr_metrics import calibration
    >>> round(calibration([1, 0, 0, 0], [0.2, 0.1, 0.1, 0.1]), 3)
    0.5
    """
    y, p = checked_predictions(label, prediction)
    _probabilities(p)
    if not bool(y.any()):
        raise DataError(f"calibration needs an observed positive: none in {len(y)} rows")
    return float(p.sum() / y.sum())


def ece(label: ArrayLike, prediction: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error over bins of equally many rows; equal predictions always share a bin.

    Bins of equal width would put all rows of a usual click log into the first.

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] probabilities.
    bins : int, default 10
        Number of bins. More bins see finer errors, and more noise.

    Returns
    -------
    float
        0 to 1, less is better.

    Raises
    ------
    DataError
        No rows, NaN, or a prediction that is no probability.

    References
    ----------
    Nguyen and O'Connor 2015, Posterior calibration and exploratory analysis for natural language processing models.

    Examples
    --------
    Each half has one positive in two rows; it was predicted at 0.9 and at 0.1, so both are off by 0.4.

    >>> from nightloop.tasks.evaluation.ctr_metrics import ece
    >>> round(ece([1, 0, 1, 0], [0.9, 0.9, 0.1, 0.1], bins=2), 3)
    0.4
    """
    y, p = checked_predictions(label, prediction)
    _probabilities(p)
    if not len(y):
        raise DataError("the calibration error of no rows is not defined")
    place = midranks(p, np.zeros(len(y), dtype=np.int64)) - 0.5
    chosen = np.clip((place * bins / len(y)).astype(np.int64), 0, bins - 1)
    return float(np.abs(np.bincount(chosen, p - y, bins)).sum() / len(y))


def checked_predictions(label: ArrayLike, prediction: ArrayLike) -> tuple[Numbers, Numbers]:
    """Labels and predictions as float64 [n]. Raises DataError on NaN, another shape, or labels that are not 0 or 1."""
    y, p = np.asarray(label, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise DataError(f"labels {y.shape} and predictions {p.shape} must both be [n]")
    if not bool(np.isfinite(p).all()):
        raise DataError(f"{int((~np.isfinite(p)).sum())} of {len(p)} predictions are NaN or infinite")
    if not bool(((y == 0) | (y == 1)).all()):
        raise DataError("labels must be 0 or 1")
    return y, p


def _probabilities(p: Numbers) -> None:
    if len(p) and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise DataError(f"predictions must be probabilities: they reach from {float(p.min()):g} to {float(p.max()):g}")


def midranks(p: Numbers, group: Numbers) -> Numbers:
    """Rank of each row within its group, from 1; equal values share the mean of their ranks: [n] float64."""
    order = np.lexsort((p, group))  # by group, then by value
    g, v = group[order], p[order]
    first = np.ones(len(p), dtype=bool)
    first[1:] = (g[1:] != g[:-1]) | (v[1:] != v[:-1])  # first[i]: row i begins a run of ties
    run = first.cumsum() - 1
    starts = first.nonzero()[0]
    ends = np.append(starts[1:], len(p))
    begins = np.searchsorted(g, g[starts])  # where the run's group begins
    ranks = np.empty(len(p))
    ranks[order] = ((starts + ends + 1) / 2 - begins)[run]
    return ranks
