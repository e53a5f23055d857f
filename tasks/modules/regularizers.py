"""Regularizers: penalties on weights, towards zero (L2) or towards earlier values (L2-SP, EWC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import dense_names, fuse
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True)
class Penalty:
    """A penalty on the distance of weights from earlier ones.

        strength / 2 * sum_j importance_j (w_j - anchor_j)^2

    For a table's row it is added once for each time the row occurs, as L2 is; for all other weights once a step.

    Parameters
    ----------
    strength : float
        Factor on the whole. 0: no penalty. The larger it is, the less the weights move.
    anchor : mapping of str to Tensor
        The earlier weights, with the names and shapes of those that are trained.
    importance : mapping of str to Tensor, optional
        A factor for each weight, with the same names and shapes, such as EWC's diagonal of the Fisher information. If
        it is not given, all are one (L2-SP).

    References
    ----------
    Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks (EWC).

    Examples
    --------
    How far the items' rows move without a penalty and with one.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.modules.regularizers import Penalty
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.fit import fit
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> model, logs = MF(width=4), simulated_periods("ranking")[0]
    >>> before = initial_weights(model, logs)
    >>> runs = [fit(model, before, logs, TrainConfig(epochs=5), penalty=Penalty(s, before)).weights for s in (0.0, 1.0)]
    >>> print(*(round((run["table.item"] - before["table.item"]).norm().item(), 1) for run in runs))
    1.3 0.3
    """

    strength: float
    anchor: Weights
    importance: Weights | None = None


@dataclass(frozen=True)
class Regularizer:
    """L2 and, if there is one, a `Penalty`, in the layout of the fused table and the flat vector of a training run.

    Parameters
    ----------
    l2 : float, default 0.0
        Weight of half of a row's squared length, for each time it occurs.
    strength : float, default 0.0
        Strength of the penalty.
    table : tuple of Tensor, optional
        Anchor [R, w] and importance [R, w] or None of the fused table.
    flat : tuple of Tensor, optional
        Anchor [n] and importance [n] or None of all other weights.

    Examples
    --------
    A row (1, 2) that occurs three times, with an L2 of 0.1: the gradient is 0.1 * 3 * (1, 2).

    >>> import torch
    >>> from nightloop.tasks.modules.regularizers import Regularizer
    >>> gradient, table = torch.zeros(1, 2), torch.tensor([[1.0, 2.0]])
    >>> Regularizer(l2=0.1).add_row_gradient(gradient, table, rows=torch.tensor([0]), times=torch.tensor([3]))
    >>> print(gradient.numpy().round(2))
    [[0.3 0.6]]
    """

    l2: float = 0.0
    strength: float = 0.0
    table: tuple[Tensor, Tensor | None] | None = None
    flat: tuple[Tensor, Tensor | None] | None = None

    @property
    def has_row_penalty(self) -> bool:
        """Whether there is a penalty on rows of tables. If not, nothing needs to count how often each row occurs."""
        return bool(self.l2) or self.table is not None

    def add_row_gradient(self, gradient: Tensor, table: Tensor, rows: Tensor, times: Tensor) -> None:
        """Add the penalties' gradient to the `gradient` [k, w] of `rows` [k], which occur `times` [k]."""
        if self.l2:
            gradient.add_(take_rows(table, rows).mul_(self.l2 * times[:, None]))
        if self.table is not None:
            anchor, importance = self.table
            distance = take_rows(table, rows).sub_(take_rows(anchor, rows))
            if importance is not None:
                distance.mul_(take_rows(importance, rows))
            gradient.addcmul_(distance, self.strength * times[:, None])

    def add_flat_gradient(self, gradient: Tensor, flat: Tensor) -> Tensor:
        """The gradient [n] of the flat vector with the penalty's added."""
        if self.flat is None:
            return gradient
        anchor, importance = self.flat
        distance = flat - anchor if importance is None else (flat - anchor) * importance
        return gradient + self.strength * distance


def regularizer_of(l2: float, penalty: Penalty | None, weights: Weights, fields: Sequence[str]) -> Regularizer:
    """The regularizer of a run.

    Parameters
    ----------
    l2 : float
        Weight of half of a row's squared length, for each time it occurs.
    penalty : Penalty or None
        The penalty, if there is one.
    weights : mapping of str to Tensor
        The weights that are trained.
    fields : sequence of str
        The model's fields.

    Returns
    -------
    Regularizer
        L2 and the penalty.

    Raises
    ------
    DataError
        Anchor or importance do not have the names and shapes of the weights.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.modules.regularizers import Penalty, regularizer_of
    >>> weights, before = {"table.item": torch.ones(1, 2)}, {"table.item": torch.zeros(1, 2)}
    >>> regularizer, gradient = regularizer_of(0.0, Penalty(0.5, before), weights, ["item"]), torch.zeros(1, 2)
    >>> regularizer.add_row_gradient(gradient, weights["table.item"], rows=torch.tensor([0]), times=torch.tensor([1]))
    >>> gradient.tolist()
    [[0.5, 0.5]]
    """
    if penalty is None or not penalty.strength:
        return Regularizer(l2)
    parts = {"anchor": penalty.anchor, **({"importance": penalty.importance} if penalty.importance is not None else {})}
    for part, tensors in parts.items():
        wrong = [name for name in weights if name not in tensors or tensors[name].shape != weights[name].shape]
        if wrong:
            raise DataError(
                f"the {part} of a penalty must have the names and shapes of the weights; {', '.join(sorted(wrong))} "
                "differ"
            )
    dense = sorted(dense_names(weights))
    tables = [fuse(tensors, fields) for tensors in parts.values()]
    flats = [
        torch.cat([torch.zeros(0), *(tensors[name].float().flatten() for name in dense)]) for tensors in parts.values()
    ]
    table, flat = ((each[0], each[1] if len(each) > 1 else None) for each in (tables, flats))
    return Regularizer(l2, penalty.strength, table, flat if dense else None)
