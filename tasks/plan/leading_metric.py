"""Leading metric: the metric by which the gate decides, and which bake-offs and reports show first."""

from __future__ import annotations

from collections.abc import Sequence

CATALOGUE = "catalogue_"  # before the names of metrics of the ranking of the whole catalogue


def leading_metric(metric: str, labelled: bool, ks: Sequence[int]) -> str:
    """The metric that leads: `metric`, unless that is `auto`.

    Then it is logloss for clicks (`labelled`), and for rankings NDCG at 20, or at the largest of the plan's `ks` if 20
    is not one of them. Without `ks` it is at 20.
    """
    if metric != "auto":
        return metric
    if labelled:
        return "logloss"
    return f"ndcg@{20 if 20 in ks or not ks else max(ks)}"
