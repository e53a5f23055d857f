"""Time decay: the weight of a row, which halves every `half_life` periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.plan.errors import PlanError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def check_half_life(name: str, given: float, unit: str = "periods") -> None:
    """Raise PlanError if an option is no number of periods, or of another unit, after which something counts half."""
    if not 0 < given < 1e6:
        raise PlanError(f"{name}: given {given}; it is in {unit}, above 0 and below 1,000,000")


def popularity(logs: Logs, half_life: float) -> Tensor:
    """log(1 + decayed count) of every item at the close of `logs`, [items] float32: zero for items that were never taken."""
    return torch.log1p(decayed_counts(logs, half_life)).float()


def decayed_counts(logs: Logs, half_life: float) -> Tensor:
    """How often every item was taken at the close of `logs`, each time by its `decay_weights`, [items] float64."""
    item = logs.fields.index("item")
    return torch.bincount(logs.rows[:, item], decay_weights(logs, half_life), minlength=logs.sizes[item])


def user_item_matrix(logs: Logs, row_weights: Tensor) -> csr_matrix:
    """Users by items: the sum of the weights [n] of the rows of each pair."""
    from scipy.sparse import csr_matrix  # only if a strategy factorises: the import takes time

    user, item = logs.fields.index("user"), logs.fields.index("item")
    pairs = (logs.rows[:, user].numpy(), logs.rows[:, item].numpy())
    return csr_matrix((row_weights.numpy(), pairs), shape=(logs.sizes[user], logs.sizes[item]))


def decay_weights(logs: Logs, half_life: float) -> Tensor:
    """Weight of each row, [n] float64 in (0, 1]: 2^(-age / half_life), the age in periods, the newest row's 0.

    Within a period rows are taken to be evenly spread, so that the weight falls row by row and not in steps.
    """
    if not len(logs):
        return torch.zeros(0, dtype=torch.float64)
    age = (logs.period - logs.periods).long()
    count = torch.bincount(age)
    newer = count.cumsum(0) - count  # rows of newer periods
    behind = len(logs) - 1 - torch.arange(len(logs)) - newer[age]  # rows of the same period that came after
    return torch.exp2(-(age + behind.double() / count[age]) / half_life)
