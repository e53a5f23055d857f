"""Blend: weighted means of whole models, aware of ids that some of them did not know yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.errors import PlanError


class Snapshot(NamedTuple):
    """Weights that take part in a mean, and the period at whose close they were made."""

    weights: Weights
    period: int


def average_weights(pool: Sequence[Snapshot], shares: Sequence[float], logs: Logs) -> dict[str, Tensor]:
    """Weighted mean by tensor name, newest of the pool first; shares without a past are dropped.

    A row of a table leaves out every past in which its id was not born yet: a first value is nobody's opinion. The
    newest always counts. Raises PlanError if its share is not above 0.
    """
    if not shares[0] > 0:
        raise PlanError(f"shares: given {tuple(shares)}; the first, of the newest weights, must be above 0")
    taken = [(share, past) for share, past in zip(shares, pool, strict=False) if share > 0]
    if len(taken) == 1:
        return dict(pool[0].weights)
    births = {f"table.{field}": born.unsqueeze(1) for field, born in zip(logs.fields, logs.born, strict=True)}
    return {name: _mean(name, taken, births.get(name)) for name in pool[0].weights}


def _mean(name: str, taken: Sequence[tuple[float, Snapshot]], born: Tensor | None) -> Tensor:
    total, summed = torch.zeros(()), torch.zeros_like(taken[0][1].weights[name])
    for place, (share, past) in enumerate(taken):
        known = torch.ones(()) if born is None or place == 0 else (born <= past.period).float()
        total = total + share * known
        summed += share * known * past.weights[name]
    return summed / total
