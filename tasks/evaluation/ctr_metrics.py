"""How good predicted probabilities are: AUC, LogLoss, AUC per user, calibration and its error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.plan.errors import DataError

SMALLEST = 1e-7  # float32 cannot say 1 - 1e-8; a certain and wrong prediction costs 16.1, not infinity


def auc(label: ArrayLike, prediction: ArrayLike) -> float:
    """Chance that a random positive scores above a random negative, ties counted half (Mann-Whitney).

    `label` [n] of 0 and 1, `prediction` [n] of any finite scale. Raises DataError on NaN or a single class.
    """
    y, p = checked(label, prediction)
    positives = float(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        raise DataError(f"AUC needs both classes: {positives:.0f} positives and {negatives:.0f} negatives were given")
    ranks = _ranks(p, np.zeros(len(y), dtype=np.int64))
    return float(((ranks * y).sum() - positives * (positives + 1) / 2) / (positives * negatives))


def gauc(user: ArrayLike, label: ArrayLike, prediction: ArrayLike) -> float:
    """AUC within each user, weighted by the user's rows; users with a single class are left out.

    Raises DataError if no user has both classes. Source: ReLoop2, section on evaluation.
    """
    y, p = checked(label, prediction)
    _, group = np.unique(np.asarray(user), return_inverse=True)
    rows = np.bincount(group).astype(np.float64)
    positives = np.bincount(group, y, len(rows))
    ranked = np.bincount(group, _ranks(p, group) * y, len(rows))
    both = (positives > 0) & (positives < rows)
    if not bool(both.any()):
        raise DataError(f"gAUC needs a user with both classes: none of {len(rows)} users has")
    n, m, total = rows[both], positives[both], ranked[both]
    each = (total - m * (m + 1) / 2) / (m * (n - m))
    return float((each * n).sum() / n.sum())


def normalised_entropy(label: ArrayLike, prediction: ArrayLike) -> float:
    """Mean LogLoss over that of the mean label, said of every row: below 1 something was learned.

    Raises DataError on NaN or a single class. Source: He et al. 2014, section 3.
    """
    y, _ = checked(label, prediction)
    rate = y.mean()
    if not 0 < float(rate) < 1:
        raise DataError("normalised entropy needs both classes")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return float(logloss(label, prediction).mean() / entropy)


def logloss(label: ArrayLike, prediction: ArrayLike) -> Numbers:
    """Cross entropy of each row in nats: [n] float64. `prediction` [n] are probabilities."""
    y, p = checked(label, prediction)
    _probabilities(p)
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    lost: Numbers = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return lost


def calibration(label: ArrayLike, prediction: ArrayLike) -> float:
    """Predicted positives over observed positives; 1 is right. Raises DataError if no positive was observed."""
    y, p = checked(label, prediction)
    _probabilities(p)
    if not bool(y.any()):
        raise DataError(f"calibration needs an observed positive: none in {len(y)} rows")
    return float(p.sum() / y.sum())


def ece(label: ArrayLike, prediction: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error over bins of equally many rows; equal predictions always share a bin.

    Bins of equal width would put all rows of a usual click log into the first. Source: Nguyen and O'Connor, 2015.
    """
    y, p = checked(label, prediction)
    _probabilities(p)
    if not len(y):
        raise DataError("the calibration error of no rows is not defined")
    place = _ranks(p, np.zeros(len(y), dtype=np.int64)) - 0.5
    chosen = np.clip((place * bins / len(y)).astype(np.int64), 0, bins - 1)
    return float(np.abs(np.bincount(chosen, p - y, bins)).sum() / len(y))


def checked(label: ArrayLike, prediction: ArrayLike) -> tuple[Numbers, Numbers]:
    """Both as float64 [n]. Raises DataError on NaN, infinity, another shape, or labels that are not 0 or 1."""
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


def _ranks(p: Numbers, group: Numbers) -> Numbers:
    """Rank of each row within its group, from 1, equal values sharing the mean of their ranks: [n] float64."""
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
