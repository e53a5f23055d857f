"""The evidence on one challenger: its scored nights beside those of what served, paired row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nightloop.tasks.evaluation.summary import SLICES, direction, per_interaction, slice_rows
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.leading_metric import CATALOGUE, leading_metric
from nightloop.tasks.plan.plan import Gate

SLICE = "slice/"  # before the name of a column of the plan's slices
MOST_VALUES = 10  # of a column that are slices: the most frequent ones
LONGEST = 60  # characters of a value in a slice's name, which stands in every manifest


@dataclass(frozen=True)
class Evidence:
    """One night: the predictions of what served and of each challenger, made before training on the night.

    Parameters
    ----------
    period : int
        Index of the period.
    served : mapping of str to Tensor, or None
        The scored period of what served, in the columns of `nightloop.tasks.evaluation.summary`. None: nothing served.
    challengers : mapping of str to mapping
        The scored period of each challenger, with the same rows.
    name : str, default ""
        Name of the period, for messages.
    values : mapping of str to sequence of str, default empty
        By categorical column that is a slice: the value of each code of the column `slice/COLUMN` of the scored periods.
    """

    period: int
    served: Mapping[str, Tensor] | None
    challengers: Mapping[str, Mapping[str, Tensor]]
    name: str = ""
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """Paired rows of several nights, [n] each."""

    periods: tuple[int, ...]
    user: Tensor
    served: Tensor  # the metric of what served
    gain: Tensor  # of the challenger over it; plus is better, whatever the metric
    slices: Mapping[str, Tensor]  # bool; the largest values of the plan's own columns are called COLUMN=VALUE
    label: Tensor  # clicks only; empty for rankings
    predicted: Tensor  # by the challenger
    before: Tensor  # by what served
    names: tuple[str, ...]  # of the periods, for messages
    draw: Tensor  # rankings: rows of one number were ranked against one pool of items; clicks: every row its own
    codes: Mapping[str, Tensor] = field(default_factory=dict)  # of a single night, by column of the plan's slices


def metric_of(rule: Gate, family: str) -> str:
    """The metric that the rule decides by.

    Parameters
    ----------
    rule : Gate
        The plan's `gate`.
    family : {"ranking", "ctr"}
        The plan's family.

    Returns
    -------
    str
        `rule.metric`, or what `auto` stands for.

    Raises
    ------
    PlanError
        The metric does not fit the family.

    Examples
    --------
    >>> from nightloop.tasks.gate.evidence import metric_of
    >>> from nightloop.tasks.plan.plan import Gate
    >>> metric_of(Gate(), "ctr"), metric_of(Gate(), "ranking")
    ('logloss', 'ndcg@20')
    """
    if rule.metric == "auto":
        return leading_metric("auto", family == "ctr", ())
    name, _, k = rule.metric.removeprefix(CATALOGUE).partition("@")
    if family == "ctr" and rule.metric in ("logloss", "auc"):
        return rule.metric
    if family == "ranking" and name in ("recall", "ndcg") and k.isdigit() and int(k) > 0:
        return rule.metric
    allowed = "recall@K and ndcg@K" if family == "ranking" else "logloss and auc"
    raise PlanError(f"gate.metric is {rule.metric!r}; a {family} plan may use auto, {allowed}")


def pool_nights(nights: Sequence[Evidence], name: str, metric: str) -> Pool | None:
    """The paired rows of all nights that scored both `name` and what served.

    Parameters
    ----------
    nights : sequence of Evidence
        Oldest first.
    name : str
        The challenger.
    metric : str
        A metric of single rows.

    Returns
    -------
    Pool or None
        None if there is no such night.

    Raises
    ------
    DataError
        A night's two results hold different rows, NaN, or lack the columns of the metric.

    Examples
    --------
    Two nights of three rows; the challenger has one more item first in each.

    >>> import torch
    >>> from nightloop.tasks.gate.evidence import Evidence, pool_nights
    >>> row, no = torch.arange(3), torch.zeros(3, dtype=torch.bool)
    >>> rows = {"user": row, "item": row, "new_user": no, "new_item": no, "equal": 0 * row}
    >>> scored = {**rows, "above": torch.tensor([1, 1, 0])}, {"SML": {**rows, "above": torch.tensor([0, 1, 0])}}
    >>> pool_nights([Evidence(0, *scored), Evidence(1, *scored)], "SML", "recall@1").gain.tolist()
    [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """
    pairs = [
        _pair_night(night, night.served, night.challengers[name], metric)
        for night in nights
        if night.served is not None
        and name in night.challengers
        and all(_can_measure(scored, metric) for scored in (night.served, night.challengers[name]))
    ]
    if not pairs:
        return None
    slices = {s: torch.cat([pair.slices[s] for pair in pairs]) for s in SLICES}
    slices |= _largest_values([pair.codes for pair in pairs], nights[-1].values)
    parts = ("user", "served", "gain", "label", "predicted", "before")
    columns = [torch.cat([getattr(pair, part) for pair in pairs]) for part in parts]
    user, served, gain, label, predicted, before = columns
    draw = torch.cat([pair.draw + night * 2**32 for night, pair in enumerate(pairs)])
    periods, names = tuple(pair.periods[0] for pair in pairs), tuple(pair.names[0] for pair in pairs)
    return Pool(periods, user, served, gain, slices, label, predicted, before, names, draw)


def _can_measure(scored: Mapping[str, Tensor], metric: str) -> bool:
    """Whether there are rows, for an AUC both classes, and for the catalogue that all rows were ranked against it.

    The plan's `ranking.catalogue` and `gate.metric` may change from one night to the next.
    """
    rows = len(scored.get("user", ()))
    if metric.startswith(CATALOGUE):
        above = scored.get(f"{CATALOGUE}above")
        return above is not None and rows > 0 and bool((above >= 0).all())
    return rows > 0 and (metric != "auc" or 0 < int((scored["label"] > 0.5).sum()) < rows)


def _largest_values(nights: Sequence[Mapping[str, Tensor]], values: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """Which rows have each of the most frequent values of the plan's slices."""
    slices = {}
    for column, texts in values.items():
        if all(column in codes for codes in nights):
            codes = torch.cat([night[column] for night in nights])
            found, counts = torch.unique(codes, return_counts=True)
            for code in found[counts.argsort(descending=True, stable=True)[:MOST_VALUES]].tolist():
                name = f"{column}={texts[code][:LONGEST]}"
                slices[f"{name} (value {code})" if name in slices else name] = codes == code
    return slices


def _pair_night(night: Evidence, served: Mapping[str, Tensor], challenger: Mapping[str, Tensor], metric: str) -> Pool:
    before, after = (torch.from_numpy(per_interaction(scored, metric)) for scored in (served, challenger))
    for column in ("user", "item", "label") if "label" in served else ("user", "item"):
        if not torch.equal(served[column], challenger[column]):
            raise DataError(
                f"the two results of period {night.name or night.period} hold different rows: column {column!r} is not the same"
            )
    gain = direction(metric) * (after - before)
    slices = {s: torch.from_numpy(slice_rows(served, s)) for s in SLICES}
    draw = served["pool"].long() if "pool" in served else torch.arange(len(gain))
    nothing = torch.zeros(0, dtype=torch.float64)
    label, predicted, earlier = (
        (served["label"].double(), challenger["prediction"].double(), served["prediction"].double())
        if "label" in served
        else (nothing, nothing, nothing)
    )
    names = (night.name or f"period {night.period}",)
    codes = {column: served[f"{SLICE}{column}"] for column in night.values if f"{SLICE}{column}" in served}
    return Pool((night.period,), served["user"], before, gain, slices, label, predicted, earlier, names, draw, codes)
