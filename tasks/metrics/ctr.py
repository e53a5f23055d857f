"""How good predicted probabilities are: AUC, LogLoss, AUC per user, calibration and its error."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-7  # float32 cannot say 1 - 1e-8; a certain and wrong prediction costs 16.1, not infinity


def auc(label: Tensor, prediction: Tensor) -> float:
    """Chance that a random positive scores above a random negative, ties counted half (Mann-Whitney).

    `label` [n] of 0 and 1, `prediction` [n] of any finite scale. Raises ValueError on NaN or a single class.
    """
    y, p = checked(label, prediction)
    positives = float(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        raise ValueError(f"AUC needs both classes: {positives:.0f} positives and {negatives:.0f} negatives were given")
    ranks = _ranks(p, torch.zeros(len(y), dtype=torch.int64))
    return float(((ranks * y).sum() - positives * (positives + 1) / 2) / (positives * negatives))


def gauc(user: Tensor, label: Tensor, prediction: Tensor) -> float:
    """AUC within each user, weighted by the user's rows; users with a single class are left out.

    Raises ValueError where no user has both classes. Source: ReLoop2, section on evaluation.
    """
    y, p = checked(label, prediction)
    _, group = torch.unique(user, return_inverse=True)
    rows = torch.bincount(group).double()
    positives = torch.zeros_like(rows).index_add_(0, group, y)
    ranked = torch.zeros_like(rows).index_add_(0, group, _ranks(p, group) * y)
    both = (positives > 0) & (positives < rows)
    if not bool(both.any()):
        raise ValueError(f"gAUC needs a user with both classes: none of {len(rows)} users has")
    n, m, total = rows[both], positives[both], ranked[both]
    each = (total - m * (m + 1) / 2) / (m * (n - m))
    return float((each * n).sum() / n.sum())


def normalised_entropy(label: Tensor, prediction: Tensor) -> float:
    """Mean LogLoss over that of the mean label, said of every row: below 1 something was learned.

    Raises ValueError on NaN or a single class. Source: He et al. 2014, section 3.
    """
    y, _ = checked(label, prediction)
    rate = y.mean()
    if not 0 < float(rate) < 1:
        raise ValueError("normalised entropy needs both classes")
    entropy = -(rate * rate.log() + (1 - rate) * (1 - rate).log())
    return float(logloss(label, prediction).mean() / entropy)


def logloss(label: Tensor, prediction: Tensor) -> Tensor:
    """Cross entropy of each row in nats: [n] float64. `prediction` [n] are probabilities."""
    y, p = checked(label, prediction)
    _probabilities(p)
    p = p.clamp(SMALLEST, 1 - SMALLEST)
    return -(y * p.log() + (1 - y) * (-p).log1p())


def calibration(label: Tensor, prediction: Tensor) -> float:
    """Predicted positives over observed positives; 1 is right. Raises ValueError where no positive was observed."""
    y, p = checked(label, prediction)
    _probabilities(p)
    if not bool(y.any()):
        raise ValueError(f"calibration needs an observed positive: none in {len(y)} rows")
    return float(p.sum() / y.sum())


def ece(label: Tensor, prediction: Tensor, bins: int = 10) -> float:
    """Expected calibration error over bins of equally many rows; equal predictions always share a bin.

    Bins of equal width would put all rows of a usual click log into the first. Source: Nguyen and O'Connor, 2015.
    """
    y, p = checked(label, prediction)
    _probabilities(p)
    if not len(y):
        raise ValueError("the calibration error of no rows is not defined")
    place = _ranks(p, torch.zeros(len(y), dtype=torch.int64)) - 0.5
    chosen = (place * bins / len(y)).long().clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, chosen, p - y)
    return float(gap.abs().sum() / len(y))


def checked(label: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 [n]. Raises ValueError on NaN, infinity, another shape, or labels that are not 0 or 1."""
    if label.shape != prediction.shape or label.dim() != 1:
        raise ValueError(f"labels {tuple(label.shape)} and predictions {tuple(prediction.shape)} must both be [n]")
    y, p = label.double(), prediction.double()
    if not bool(torch.isfinite(p).all()):
        raise ValueError(f"{int((~torch.isfinite(p)).sum())} of {len(p)} predictions are NaN or infinite")
    if not bool(((y == 0) | (y == 1)).all()):
        raise ValueError("labels must be 0 or 1")
    return y, p


def _probabilities(p: Tensor) -> None:
    if len(p) and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise ValueError(f"predictions must be probabilities: they reach from {float(p.min()):g} to {float(p.max()):g}")


def _ranks(p: Tensor, group: Tensor) -> Tensor:
    """Rank of each row within its group, from 1, equal values sharing the mean of their ranks: [n] float64."""
    order = torch.argsort(p, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    g, v = group[order], p[order]
    first = torch.ones(len(p), dtype=torch.bool)
    first[1:] = (g[1:] != g[:-1]) | (v[1:] != v[:-1])  # first[i]: row i begins a run of ties
    run = first.cumsum(0) - 1
    starts = first.nonzero().flatten()
    ends = torch.cat([starts[1:], torch.tensor([len(p)])])
    begins = torch.searchsorted(g, g[starts])  # where the run's group begins
    ranks = torch.empty(len(p), dtype=torch.float64)
    ranks[order] = ((starts + ends + 1).double() / 2 - begins)[run]
    return ranks
