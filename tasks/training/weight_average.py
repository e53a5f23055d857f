"""Weight average: weighted means of whole models. Ids that a model did not know yet are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.errors import PlanError


class Snapshot(NamedTuple):
    """Weights, and the period at whose close they were made."""

    weights: Weights
    period: int


def average_weights(pool: Sequence[Snapshot], shares: Sequence[float], logs: Logs) -> dict[str, Tensor]:
    """Weighted mean by tensor name. The pool is newest first; shares beyond its end are dropped.

    The mean of a table's row leaves out every snapshot in which its id was not born yet, because the row was not
    trained there. The newest snapshot always counts. Raises PlanError if its share is not above 0.
    """
    if not shares[0] > 0:
        raise PlanError(f"shares: given {tuple(shares)}; the first, of the newest weights, must be above 0")
    terms = [(share, snapshot) for share, snapshot in zip(shares, pool, strict=False) if share > 0]
    if len(terms) == 1:
        return dict(pool[0].weights)
    births = {f"table.{field}": born.unsqueeze(1) for field, born in zip(logs.fields, logs.born, strict=True)}
    return {name: _mean(name, terms, births.get(name)) for name in pool[0].weights}


def _mean(name: str, terms: Sequence[tuple[float, Snapshot]], born: Tensor | None) -> Tensor:
    total, summed = torch.zeros(()), torch.zeros_like(terms[0][1].weights[name])
    for number, (share, snapshot) in enumerate(terms):
        trained = torch.ones(()) if born is None or number == 0 else (born <= snapshot.period).float()
        total = total + share * trained
        summed += share * trained * snapshot.weights[name]
    return summed / total
