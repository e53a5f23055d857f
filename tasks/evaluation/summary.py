"""The numbers of one scored period: means and slices for the record, one value a row for paired comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from nightloop.tasks.evaluation import auc, ctr_metrics, ranking_metrics
from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.leading_metric import CATALOGUE

if TYPE_CHECKING:
    from torch import Tensor

Rows: TypeAlias = "Mapping[str, Tensor]"  # a scored period: a tensor [n] a column
SLICES = ("new_user", "old_user", "new_item", "old_item")
NEEDED = {
    "ranking": ("user", "item", "new_user", "new_item", "above", "equal"),
    "ctr": ("user", "item", "new_user", "new_item", "label", "prediction"),
}


def summarize_metrics(
    scored: Mapping[str, ArrayLike], family: str, ks: Sequence[int] = (5, 10, 20)
) -> dict[str, float]:
    """Every metric of a scored period by name: `recall@20`, `ndcg@20/new_user`, `auc`, `logloss/old_item`, `rows`, ...

    What is not defined on a slice (the AUC of a single class) is left out.

    Parameters
    ----------
    scored : mapping of str to array_like
        One array [n] a column; `NEEDED` has the columns of each family. With `catalogue_above` and `catalogue_equal`
        the ranking against the whole catalogue is added, as `catalogue_recall@20`: means over the rows that were ranked
        against it, those whose count is not -1.
    family : {"ranking", "ctr"}
        Which metrics.
    ks : sequence of int, default (5, 10, 20)
        Lengths of the list, for rankings.

    Returns
    -------
    dict of str to float
        Means over all rows, and over the rows of each slice of `SLICES`.

    Raises
    ------
    DataError
        NaN, a missing column, or columns of different lengths.

    Examples
    --------
    Two rows: a known user's item is first, a new user's item is eighth.

    >>> from nightloop.tasks.evaluation.summary import summarize_metrics
    >>> new = {"new_user": [False, True], "new_item": [False, False]}
    >>> found = summarize_metrics({"user": [0, 1], "item": [0, 0], **new, "above": [0, 7], "equal": [0, 0]}, "ranking", ks=[5])
    >>> found["recall@5"], found["recall@5/new_user"], found["rows/new_user"]
    (0.5, 0.0, 1.0)
    """
    count_scored_rows(scored, family)
    columns = {column: np.asarray(values) for column, values in scored.items()}
    measure = (
        (lambda part: ranking_metrics.mean_ranking_metrics(part, ks)) if family == "ranking" else _summarize_clicks
    )
    found = measure(columns)
    for name in SLICES:
        keep = slice_rows(columns, name)
        if bool(keep.any()):
            part = {column: values[keep] for column, values in columns.items()}
            found |= {f"{metric}/{name}": value for metric, value in measure(part).items()}
    return found


def per_interaction(scored: Mapping[str, ArrayLike], metric: str) -> Numbers:
    """The metric of each row.

    Parameters
    ----------
    scored : mapping of str to array_like
        A scored period, as for `summarize_metrics`.
    metric : str
        recall@K, ndcg@K, either of them with `catalogue_` before it, logloss, or auc (values whose mean is the AUC).

    Returns
    -------
    ndarray
        [n] float64.

    Raises
    ------
    DataError
        There is no such metric, or the scored period is not whole.
    PlanError
        Not every row was ranked against the catalogue.

    Examples
    --------
    >>> from nightloop.tasks.evaluation.summary import per_interaction
    >>> rows = {"user": [0, 1], "item": [0, 0], "new_user": [False, True], "new_item": [False, False]}
    >>> per_interaction({**rows, "above": [0, 7], "equal": [0, 0]}, "recall@5").tolist()
    [1.0, 0.0]
    """
    if metric in ("logloss", "auc"):
        count_scored_rows(scored, "ctr")
        measure_rows = ctr_metrics.logloss if metric == "logloss" else auc.auc_values
        return measure_rows(scored["label"], scored["prediction"])
    name, _, k = metric.removeprefix(CATALOGUE).partition("@")
    if name not in ("recall", "ndcg") or not k.isdigit():
        raise DataError(f"no metric {metric!r} of single rows; there are recall@K, ndcg@K, logloss and auc")
    count_scored_rows(scored, "ranking")
    prefix = CATALOGUE if metric.startswith(CATALOGUE) else ""
    if f"{prefix}above" not in scored or (prefix and bool((np.asarray(scored[f"{prefix}above"]) < 0).any())):
        raise PlanError(f"{metric} needs ranking.catalogue: true in the plan; not every row was ranked against it")
    measure = ranking_metrics.recall if name == "recall" else ranking_metrics.ndcg
    return measure(scored[f"{prefix}above"], scored[f"{prefix}equal"], int(k))


def weighted_means(means_by_period: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the rows of several periods, from the means of each; a period whose rows are not known counts as 1."""
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for means in means_by_period:
        for key, value in means.items():
            metric, _, part = key.partition("/")
            if metric in ("rows", "positives"):
                continue
            weight = means.get(f"rows/{part}" if part else "rows", 1.0)
            sums[key] = sums.get(key, 0.0) + weight * value
            weights[key] = weights.get(key, 0.0) + weight
    return {key: sums[key] / weights[key] for key in sums if weights[key]}


def direction(metric: str) -> int:
    """+1 if more of a metric, or of it on a slice, is better, -1 if less is better (logloss, ne)."""
    return -1 if metric.split("/")[0] in ("logloss", "ne") else 1


def slice_rows(scored: Mapping[str, ArrayLike], name: str) -> Numbers:
    """[n] bool: the rows of a slice, one of `SLICES`."""
    if name not in SLICES:
        raise DataError(f"no slice {name!r}; there are {', '.join(SLICES)}")
    new: Numbers = np.asarray(scored[f"new_{name[4:]}"]).astype(bool)
    return new if name.startswith("new") else ~new


def count_scored_rows(scored: Mapping[str, ArrayLike], family: str) -> int:
    """The number of rows. Raises DataError if `scored` is not a whole and clean record of its family."""
    if family not in NEEDED:
        raise DataError(f"no family {family!r}; there are {' and '.join(NEEDED)}")
    missing = [name for name in NEEDED[family] if name not in scored]
    if missing:
        raise DataError(f"a scored period of {family} needs {', '.join(missing)} too; it has {', '.join(scored)}")
    columns = {name: np.asarray(values) for name, values in scored.items()}
    lengths = {name: values.shape for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or len(lengths["user"]) != 1:
        raise DataError(f"every column of a scored period must be [n]: {lengths}")
    for name, values in columns.items():
        if values.dtype.kind == "f" and not bool(np.isfinite(values).all()):
            raise DataError(f"column {name!r} of a scored period holds NaN or infinity")
    return len(columns["user"])


def _summarize_clicks(scored: Mapping[str, Numbers]) -> dict[str, float]:
    label, prediction = scored["label"], scored["prediction"]
    metrics = {"rows": float(len(label)), "positives": float(label.sum())}
    if not len(label):
        return metrics
    metrics["logloss"] = float(ctr_metrics.logloss(label, prediction).mean())
    metrics["ece"] = ctr_metrics.ece(label, prediction)
    if bool(label.any()):
        metrics["calibration"] = ctr_metrics.calibration(label, prediction)
    if 0 < metrics["positives"] < metrics["rows"]:
        metrics["auc"] = auc.auc(label, prediction)
        metrics["ne"] = ctr_metrics.normalised_entropy(label, prediction)
        metrics |= _by_user(scored)
    return metrics


def _by_user(scored: Mapping[str, Numbers]) -> dict[str, float]:
    keys = scored["user"] * 2 + scored["label"].astype(np.int64)
    has_both = len(np.unique(keys)) > len(np.unique(scored["user"]))  # some user has both classes
    return {"gauc": auc.gauc(scored["user"], scored["label"], scored["prediction"])} if has_both else {}
