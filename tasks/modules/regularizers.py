"""Pull: weights drawn back, to nought (L2) or to where they were (L2-SP, EWC), wherever a training step moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import fuse, others
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True)
class Penalty:
    """strength / 2 * sum_j importance_j (w_j - anchor_j)^2; `importance` None: ones (L2-SP), else EWC's diagonal.

    Of a table's row it is added once for each time the row occurs, as L2 is; of all else once a step.
    """

    strength: float
    anchor: Weights
    importance: Weights | None = None


@dataclass(frozen=True)
class Regularizer:
    """What draws the fused table and the flat vector of a training run: L2 and, if there is one, a pull."""

    l2: float = 0.0
    strength: float = 0.0
    table: tuple[Tensor, Tensor | None] | None = None  # anchor [R, w] and importance
    flat: tuple[Tensor, Tensor | None] | None = None  # anchor [n] and importance

    @property
    def taut(self) -> bool:
        """Whether anything draws the rows of tables: where not, nobody need count how often each occurs."""
        return bool(self.l2) or self.table is not None

    def draw_rows(self, gradient: Tensor, table: Tensor, rows: Tensor, times: Tensor) -> None:
        """Add to the `gradient` [k, w] of `rows` [k], which occur `times` [k]."""
        if self.l2:
            gradient.addcmul_(take_rows(table, rows), self.l2 * times[:, None])
        if self.table is not None:
            anchor, importance = self.table
            away = take_rows(table, rows).sub_(take_rows(anchor, rows))
            if importance is not None:
                away.mul_(take_rows(importance, rows))
            gradient.addcmul_(away, self.strength * times[:, None])

    def draw_flat(self, gradient: Tensor, flat: Tensor) -> Tensor:
        """The gradient [n] of the flat vector with the pull added."""
        if self.flat is None:
            return gradient
        anchor, importance = self.flat
        away = flat - anchor if importance is None else (flat - anchor) * importance
        return gradient + self.strength * away


def regularizer_of(l2: float, pull: Penalty | None, weights: Weights, fields: Sequence[str]) -> Regularizer:
    """The springs of a run on `weights`. Raises DataError if anchor or importance are not parallel to them."""
    if pull is None or not pull.strength:
        return Regularizer(l2)
    sides = {"anchor": pull.anchor, **({"importance": pull.importance} if pull.importance is not None else {})}
    for side, tensors in sides.items():
        wrong = [name for name in weights if name not in tensors or tensors[name].shape != weights[name].shape]
        if wrong:
            raise DataError(f"the {side} of a pull must be parallel to the weights; {', '.join(sorted(wrong))} is not")
    dense = sorted(others(weights))
    tables = [fuse(tensors, fields) for tensors in sides.values()]
    flats = [
        torch.cat([torch.zeros(0), *(tensors[name].float().flatten() for name in dense)]) for tensors in sides.values()
    ]
    table, flat = ((each[0], each[1] if len(each) > 1 else None) for each in (tables, flats))
    return Regularizer(l2, pull.strength, table, flat if dense else None)
