"""The evidence on one challenger: its scored nights beside those of what served, paired row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.evaluation.summary import SLICES, direction, member, per_interaction
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.leading_metric import leading_metric
from nightloop.tasks.plan.plan import Gate


@dataclass(frozen=True)
class Evidence:
    """One night: how what served and how each challenger predicted it, before anyone learned from it."""

    period: int
    served: Mapping[str, Tensor] | None  # scored columns as in `metrics.table`; None: nothing served
    challengers: Mapping[str, Mapping[str, Tensor]]
    name: str = ""  # of the period, for people


@dataclass(frozen=True)
class Pool:
    """Paired rows of several nights, [n] each."""

    periods: tuple[int, ...]
    user: Tensor
    served: Tensor  # the metric of what served
    gain: Tensor  # of the challenger over it; plus is better, whatever the metric
    slices: Mapping[str, Tensor]  # bool
    label: Tensor  # clicks only; empty for rankings
    predicted: Tensor  # by the challenger
    before: Tensor  # by what served
    names: tuple[str, ...]  # of the periods, for people
    draw: Tensor  # rankings: rows of one number were ranked against one pool of items; clicks: every row its own


def metric_of(rule: Gate, family: str) -> str:
    """The metric the rule decides by. Raises ValueError if it does not fit the family of the task."""
    if rule.metric == "auto":
        return leading_metric("auto", family == "ctr", ())
    name, _, k = rule.metric.partition("@")
    if family == "ctr" and rule.metric == "logloss":
        return rule.metric
    if family == "ranking" and name in ("recall", "ndcg") and k.isdigit() and int(k) > 0:
        return rule.metric
    allowed = "recall@K and ndcg@K" if family == "ranking" else "logloss"
    raise PlanError(f"gate.metric is {rule.metric!r}; a {family} plan may use auto, {allowed}")


def pooled(nights: Sequence[Evidence], name: str, metric: str) -> Pool | None:
    """All nights that scored both `name` and what served; None where there is none.

    Raises ValueError if a night's two results hold different rows, NaN, or not the columns of the metric.
    """
    found = [
        _paired(night, night.served, night.challengers[name], metric)
        for night in nights
        if night.served is not None and name in night.challengers and len(night.served.get("user", ()))
    ]
    if not found:
        return None
    slices = {s: torch.cat([one.slices[s] for one in found]) for s in SLICES}
    parts = ("user", "served", "gain", "label", "predicted", "before")
    columns = [torch.cat([getattr(one, part) for one in found]) for part in parts]
    user, served, gain, label, predicted, before = columns
    draw = torch.cat([one.draw + night * 2**32 for night, one in enumerate(found)])
    periods, names = tuple(one.periods[0] for one in found), tuple(one.names[0] for one in found)
    return Pool(periods, user, served, gain, slices, label, predicted, before, names, draw)


def _paired(night: Evidence, served: Mapping[str, Tensor], other: Mapping[str, Tensor], metric: str) -> Pool:
    before, after = (torch.from_numpy(per_interaction(scored, metric)) for scored in (served, other))
    for column in ("user", "item", "label") if "label" in served else ("user", "item"):
        if not torch.equal(served[column], other[column]):
            raise DataError(
                f"the two results of period {night.name or night.period} hold different rows: column {column!r} is not the same"
            )
    gain = direction(metric) * (after - before)
    slices = {s: torch.from_numpy(member(served, s)) for s in SLICES}
    draw = served["pool"].long() if "pool" in served else torch.arange(len(gain))
    nothing = torch.zeros(0, dtype=torch.float64)
    label, predicted, earlier = (
        (served["label"].double(), other["prediction"].double(), served["prediction"].double())
        if "label" in served
        else (nothing, nothing, nothing)
    )
    names = (night.name or f"period {night.period}",)
    return Pool((night.period,), served["user"], before, gain, slices, label, predicted, earlier, names, draw)
