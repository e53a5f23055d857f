"""Dot-product step: one training step of a dot-product model in closed form, without autograd."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from nightloop.tasks.kernels.portable_math import sum_columns
from nightloop.tasks.modules.ranking_loss import RankingLoss
from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.rowwise_optimizers import RowOptimizer
from nightloop.tasks.modules.segment_sums import Groups, group, sum_groups
from nightloop.tasks.modules.table_rows import take_rows


@runtime_checkable
class Bilinear(Protocol):
    """A model whose logit is p_u . q_i of the first `factor_width` columns, plus the biases in one more if there is
    one."""

    @property
    def factor_width(self) -> int:
        """Columns that are multiplied."""


class Pairs(NamedTuple):
    """The rows of the fused table in one step."""

    users: Tensor  # [b] int64
    items: Tensor  # [b, 1 + K] int64, the positive first
    real: Tensor | None  # [b, K] bool: which negatives count; None: all
    offset: int  # of the items in the fused table


class RowGradients(NamedTuple):
    """The gradient of one step by the rows of a table that occur in it: users, then items, each ascending."""

    loss: Tensor  # the mean
    rows: tuple[Tensor, Tensor]  # [k] int64 of the fused table
    gradient: tuple[Tensor, Tensor]  # [k, w]
    times: tuple[Tensor, Tensor]  # [k] int64: how often a penalty counts each row


def bilinear_step(
    table: Tensor, optimizer: RowOptimizer, pairs: Pairs, loss: RankingLoss, width: int, regularizer: Regularizer
) -> Tensor:
    """One step on users, positive and negative items `pairs`; returns the mean loss."""
    gradients = bilinear_gradients(table, pairs, loss, width)
    for rows, gradient, times in zip(gradients.rows, gradients.gradient, gradients.times, strict=True):
        regularizer.add_row_gradient(gradient, table, rows, times)
    for rows, gradient in zip(gradients.rows, gradients.gradient, strict=True):
        optimizer.step(table, rows, gradient)
    return gradients.loss


def bilinear_gradients(table: Tensor, pairs: Pairs, loss: RankingLoss, width: int) -> RowGradients:
    """Loss and gradient of users, positive and negative items `pairs`.

    With s = p_u . q_i and c the gradient of the loss by s, the gradients are sum c q_i for a user and sum c p_u for an
    item, each over the entries the row occurs in. They are sums over the batch, not means: a learning rate then has the
    same effect in a batch of any size. A user occurs once for each positive, an item once for each entry.
    """
    users, items, real, offset = pairs
    b, entries = items.shape
    of_pair = torch.arange(b).repeat_interleave(entries)
    left, right = take_rows(table, users), take_rows(table, items.flatten())
    logits = _scores(left.repeat_interleave(entries, 0), right, width).view(b, entries)
    scores = loss.scores(logits, items - offset)
    error = loss.gradient(scores, real)
    value = loss.mean(scores, real)
    error, entry = error.flatten(), torch.arange(b * entries)
    if real is not None:
        entry = torch.cat([torch.ones(b, 1, dtype=torch.bool), real], 1).flatten().nonzero().flatten()
    of_pair = of_pair.index_select(0, entry)
    by_user, by_item = group(users), group(items.flatten().index_select(0, entry))
    of_user = _sum_products(group(users.index_select(0, of_pair)), right, entry, error.index_select(0, entry), width)
    of_item = _sum_products(by_item, left, of_pair, error.index_select(0, entry), width)
    return RowGradients(value, (by_user.rows, by_item.rows), (of_user, of_item), (by_user.counts, by_item.counts))


def _scores(left: Tensor, right: Tensor, width: int) -> Tensor:
    """Logits [n] of rows [n, w] against rows [n, w]."""
    scores = sum_columns(left[:, :width] * right[:, :width])
    return scores if left.shape[1] == width else (scores + left[:, width]) + right[:, width]


def _sum_products(groups: Groups, other: Tensor, at: Tensor, error: Tensor, width: int) -> Tensor:
    """Sums over each group of error times the other side's row, entry by entry: [k, w]; a bias gets the errors' sum."""
    products = take_rows(other, at)
    products[:, width:] = 1.0
    return sum_groups(groups, products.mul_(error[:, None]))
