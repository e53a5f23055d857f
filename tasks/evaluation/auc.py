"""AUC: over all rows, a value a row whose mean it is, and the mean over users."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation.ctr_metrics import checked_predictions, midranks
from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.plan.errors import DataError


def auc(label: ArrayLike, prediction: ArrayLike) -> float:
    """The probability that a random positive scores above a random negative, ties counted half (Mann-Whitney).

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] finite numbers of any scale.

    Returns
    -------
    float
        0 to 1; 0.5 for a constant prediction.

    Raises
    ------
    DataError
        NaN, or a single class.

    Examples
    --------
    Of four pairs, three are in the right order and one is a tie: 3.5 / 4.

    >>> from nightloop.tasks.evaluation.auc import auc
    >>> auc([1, 0, 1, 0], [0.8, 0.5, 0.5, 0.1])
    0.875
    """
    y, p = checked_predictions(label, prediction)
    positives = float(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        raise DataError(f"AUC needs both classes: {positives:.0f} positives and {negatives:.0f} negatives were given")
    ranks = midranks(p, np.zeros(len(y), dtype=np.int64))
    return float(((ranks * y).sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_values(label: ArrayLike, prediction: ArrayLike) -> Numbers:
    """One value a row whose mean is the AUC: the AUC, and n times what the row adds to it.

    A positive adds the share of negatives that it is above, a negative the share of positives that it is below, each
    less the AUC and divided by the number of rows of its class. So intervals for means hold for AUCs too.

    Parameters
    ----------
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] finite numbers of any scale.

    Returns
    -------
    ndarray
        [n] float64.

    Raises
    ------
    DataError
        NaN, or a single class.

    References
    ----------
    DeLong et al. 1988, Comparing the areas under two or more correlated ROC curves.

    Examples
    --------
    >>> from nightloop.tasks.evaluation.auc import auc_values
    >>> values = auc_values([1, 0, 1, 0], [0.8, 0.5, 0.5, 0.1])
    >>> print(values, values.mean())
    [1.125 0.625 0.625 1.125] 0.875
    """
    y, p = checked_predictions(label, prediction)
    value = auc(y, p)
    positive, others = y > 0.5, np.where(y > 0.5, len(y) - y.sum(), y.sum())
    above = (midranks(p, np.zeros(len(y), dtype=np.int64)) - midranks(p, positive.astype(np.int64))) / others
    result: Numbers = value + len(y) * (np.where(positive, above, 1 - above) - value) / (len(y) - others)
    return result


def gauc(user: ArrayLike, label: ArrayLike, prediction: ArrayLike) -> float:
    """The AUC within each user, weighted by the user's rows; users with a single class are left out.

    Parameters
    ----------
    user : array_like
        [n] ids.
    label : array_like
        [n] of 0 and 1.
    prediction : array_like
        [n] finite numbers of any scale.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    DataError
        NaN, or no user has both classes.

    References
    ----------
    Zhu et al. 2023, ReLoop2, section on evaluation.

    Examples
    --------
    User 1 has AUC 1 in two rows, user 2 has 0.5 in three rows, user 3 has one class: (2 * 1 + 3 * 0.5) / 5.

    >>> from nightloop.tasks.evaluation.auc import gauc
    >>> gauc([1, 1, 2, 2, 2, 3], [1, 0, 1, 0, 0, 1], [0.9, 0.1, 0.5, 0.6, 0.4, 0.3])
    0.7
    """
    y, p = checked_predictions(label, prediction)
    _, group = np.unique(np.asarray(user), return_inverse=True)
    rows = np.bincount(group).astype(np.float64)
    positives = np.bincount(group, y, len(rows))
    ranked = np.bincount(group, midranks(p, group) * y, len(rows))
    both = (positives > 0) & (positives < rows)
    if not bool(both.any()):
        raise DataError(f"gAUC needs a user with both classes: none of {len(rows)} users has")
    n, m, total = rows[both], positives[both], ranked[both]
    each = (total - m * (m + 1) / 2) / (m * (n - m))
    return float((each * n).sum() / n.sum())
