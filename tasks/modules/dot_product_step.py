"""Dot-product step: one training step of a dot-product model in closed form, without autograd."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.linalg import vecdot
from torch.nn.functional import softplus

from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.rowwise_optimizers import RowOptimizer
from nightloop.tasks.modules.segment_sums import group, weighted_sum_groups
from nightloop.tasks.modules.table_rows import take_rows


@runtime_checkable
class Bilinear(Protocol):
    """A model whose logit is p_u . q_i of the first `factor_width` columns, plus the biases in one more if there is
    one."""

    @property
    def factor_width(self) -> int:
        """Columns that are multiplied."""
        ...


Pairs = tuple[Tensor, Tensor, Tensor]  # users, positive items, negative items: rows of the fused table, each [b] int64


class RowGradients(NamedTuple):
    """The gradient of one step by the rows of a table that occur in it: users, then items, each ascending."""

    loss: Tensor  # the mean
    rows: tuple[Tensor, Tensor]  # [k] int64 of the fused table
    gradient: tuple[Tensor, Tensor]  # [k, w]
    times: tuple[Tensor, Tensor]  # [k] int64: how often each row occurs


def bilinear_step(
    table: Tensor, optimizer: RowOptimizer, pairs: Pairs, real: Tensor | None, width: int, regularizer: Regularizer
) -> Tensor:
    """One step on users, positive and negative items `pairs`; returns the mean loss."""
    gradients = bilinear_gradients(table, pairs, real, width)
    for rows, gradient, times in zip(gradients.rows, gradients.gradient, gradients.times, strict=True):
        regularizer.add_row_gradient(gradient, table, rows, times)
    for rows, gradient in zip(gradients.rows, gradients.gradient, strict=True):
        optimizer.step(table, rows, gradient)
    return gradients.loss


def bilinear_gradients(table: Tensor, pairs: Pairs, real: Tensor | None, width: int) -> RowGradients:
    """Loss and gradient of users, positive and negative items `pairs`.

    With s = p_u . q_i and c = sigmoid(s) - y the gradients of the cross-entropy are sum c q_i for a user and sum c
    p_u for an item, each over the entries the row occurs in. `real` [b] marks the negatives that count. The gradients
    are sums over the batch, not means: a learning rate then has the same effect in a batch of any size.
    """
    users, positives, negatives = pairs
    b = len(users)
    items = torch.cat([positives, negatives])
    left, right = take_rows(table, users), take_rows(table, items)
    logits = torch.cat([_scores(left, right[:b], width), _scores(left, right[b:], width)])
    error = torch.sigmoid(logits)
    error[:b] -= 1
    if real is not None:
        error[b:] *= real
    by_user, by_item = group(users), group(items)
    user_entries = torch.stack(
        [by_user.order, by_user.order + b], 1
    ).flatten()  # a user's positives and negatives, one after the other
    of_user = _gradient(table, _at(items.int(), user_entries), 2 * by_user.starts, _at(error, user_entries), width)
    of_item = _gradient(
        table, _at(users.int().repeat(2), by_item.order), by_item.starts, _at(error, by_item.order), width
    )
    logits[:b].neg_()
    loss = softplus(logits).sum() / b
    return RowGradients(loss, (by_user.rows, by_item.rows), (of_user, of_item), (2 * by_user.counts, by_item.counts))


def _at(values: Tensor, positions: Tensor) -> Tensor:
    """values[positions], several times faster."""
    return values.index_select(0, positions)


def _scores(left: Tensor, right: Tensor, width: int) -> Tensor:
    """Logits [b] of rows [b, w] against rows [b, w]."""
    scores: Tensor = vecdot(left[:, :width], right[:, :width])
    return scores if left.shape[1] == width else scores + left[:, width] + right[:, width]


def _gradient(table: Tensor, picks: Tensor, starts: Tensor, error: Tensor, width: int) -> Tensor:
    """Sum of error times the other side's row over each group [k, w]; a bias column gets the sum of the errors."""
    total = weighted_sum_groups(table, picks, starts, error)
    if total.shape[1] > width:
        ones = torch.ones(1, 1)
        total[:, width:] = weighted_sum_groups(ones, torch.zeros_like(picks), starts, error)
    return total
