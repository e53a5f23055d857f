"""A paired difference of AUCs, with an interval that takes rows of one user as dependent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nightloop.tasks.evaluation.auc import auc_values
from nightloop.tasks.evaluation.cluster_error import cluster_error
from nightloop.tasks.evaluation.paired_difference import FEWEST, WIDTH, Difference
from nightloop.tasks.evaluation.summary import Rows
from nightloop.tasks.plan.errors import DataError


def auc_difference(pairs: Sequence[tuple[Rows, Rows]]) -> Difference | None:
    """AUC of `a` minus AUC of `b` on the same rows, the mean over periods by their rows.

    An AUC is a mean over positives of the share of negatives below them, and over negatives of the share of positives
    above. So each row's share of the difference is known, and the shares of a user's rows are added up before they are
    squared. Periods with a single class are left out.

    Parameters
    ----------
    pairs : sequence of tuple
        (a, b) for each period: `user` [n], `label` [n] and `prediction` [n] of two scored periods with the same rows.

    Returns
    -------
    Difference or None
        None with fewer than `FEWEST` users, or if no period has both classes.

    Raises
    ------
    DataError
        The two do not hold the same rows.

    References
    ----------
    DeLong et al. 1988, Comparing the areas under two or more correlated ROC curves (each row's share).
    Obuchowski 1997, Nonparametric analysis of clustered ROC curve data (rows of one user).

    Examples
    --------
    Twenty users with a positive and a negative each. `a` orders those of fifteen users rightly, `b` predicts a
    constant: of 400 pairs, 225 are in order and 150 tie, which is an AUC of 0.75.

    >>> import torch
    >>> from nightloop.tasks.evaluation.auc_interval import auc_difference
    >>> user, label = torch.arange(20).repeat(2), torch.tensor([1.0, 0.0]).repeat_interleave(20)
    >>> right = torch.where((user < 15) == (label > 0.5), 0.9, 0.1)
    >>> rows = {"user": user, "label": label}
    >>> found = auc_difference([({**rows, "prediction": right}, {**rows, "prediction": torch.full((40,), 0.5)})])
    >>> print(round(found.mean, 3), found.sure, found.users)
    0.25 True 20
    """
    parts: list[Tensor] = []
    users: list[Tensor] = []
    usable = [pair for pair in pairs if 0 < float(pair[0]["label"].sum()) < len(pair[0]["label"])]
    rows = sum(len(a["label"]) for a, _ in usable)
    total = 0.0
    for a, b in usable:
        if not (torch.equal(a["user"], b["user"]) and torch.equal(a["label"], b["label"])):
            raise DataError("paired results must hold the same rows in the same order; score both on the same night")
        weight = len(a["label"]) / rows
        gain = torch.from_numpy(auc_values(a["label"], a["prediction"]) - auc_values(b["label"], b["prediction"]))
        total += weight * float(gain.mean())
        parts.append(weight * (gain - gain.mean()) / len(gain))
        users.append(a["user"])
    if not usable:
        return None
    error, user_count = cluster_error(torch.cat(parts), torch.cat(users))
    if user_count < FEWEST:
        return None
    return Difference(total, total - WIDTH * error, total + WIDTH * error, user_count, rows)
