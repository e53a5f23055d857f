"""Blend: weighted means of whole models, aware of ids that some of them did not know yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Weights


class Past(NamedTuple):
    """Weights that take part in a mean, and the period at whose close they were made."""

    weights: Weights
    period: int


def blend(pool: Sequence[Past], shares: Sequence[float], logs: Logs) -> dict[str, Tensor]:
    """Weighted mean by tensor name; shares beyond the pool are dropped, the rest is made to sum to 1.

    A row of a table leaves out every past in which its id was not born yet: a first value is nobody's opinion. The
    first of the pool must be as young as `logs`, so that it knows every id, and its share above 0.
    """
    taken = [(share, past) for share, past in zip(shares, pool, strict=False) if share > 0]
    if len(taken) == 1:
        return dict(taken[0][1].weights)
    births = {f"table.{field}": born.unsqueeze(1) for field, born in zip(logs.fields, logs.born, strict=True)}
    return {name: _mean(name, taken, births.get(name)) for name in pool[0].weights}


def _mean(name: str, taken: Sequence[tuple[float, Past]], born: Tensor | None) -> Tensor:
    heavy = [share if born is None else share * (born <= past.period).float() for share, past in taken]
    total: Tensor | float = sum(heavy[1:], start=heavy[0])
    summed = [share * past.weights[name] for share, (_, past) in zip(heavy, taken, strict=True)]
    return sum(summed[1:], start=summed[0]) / total
