"""Propagation: rows of users and items are spread over the links of a graph, as in LightGCN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.modules.dot_product_step import Pairs, bilinear_gradients
from nightloop.tasks.modules.lookup import own_rows
from nightloop.tasks.modules.ranking_loss import RankingLoss
from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.rowwise_optimizers import RowOptimizer
from nightloop.tasks.modules.table_rows import put_rows, take_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class GraphShape(NamedTuple):
    """How far and what is spread."""

    layers: int
    width: int  # the first columns; any further ones (biases) stay as they are
    sizes: tuple[int, int]  # users and items


@dataclass(frozen=True, eq=False)
class Propagation:
    """E = (E^0 + ... + E^L) / (L + 1) of the fused table E^0 [R, w], with E^l = P^l + B E^(l-1).

    B is 1 / sqrt(T_u T_i) where user u and item i are linked, T the degrees: symmetric. P^l is what layer l has of a
    past that is not among the links. Without a past it is zero, and this is LightGCN (He et al. 2020, equations 3, 4 and
    9). So E is affine in E^0, and the gradient by E^0 is that by E, spread in the same way without the P^l. For rows
    without links E is (E^0 + P^1 + ... + P^L) / (L + 1).
    """

    shape: GraphShape
    linked: Tensor  # [k] int64, ascending: rows of the fused table that have links
    slot: Tensor  # [R] int64 of each row: its place among `linked`, or -1
    matrix: csr_matrix  # B [k, k]
    degree: Tensor  # [R] float32: T
    past: tuple[Tensor, ...]  # P^l [R, width] for l = 1..L; or none
    constant: Tensor  # [R, width] what the past adds to E; or [1, 1] zero

    def propagate(self, table: Tensor) -> Tensor:
        """E of a whole table: [R, w]."""
        propagated = self.alone(table)
        propagated[self.linked] = self.spread(take_rows(table, self.linked))
        propagated[:, : self.shape.width] += self.constant
        return propagated

    def spread(self, rows: Tensor) -> Tensor:
        """Of the linked rows [k, w], or of the gradient by what they become, without the past: [k, w]."""
        spread, rows_before = rows.clone(), rows[:, : self.shape.width].contiguous().numpy()
        mixed = rows_before
        for _ in range(self.shape.layers):
            mixed = self.matrix @ mixed
            mixed += rows_before
        spread[:, : self.shape.width] = torch.from_numpy(mixed) / (self.shape.layers + 1)
        return spread

    def alone(self, rows: Tensor) -> Tensor:
        """The same of rows [k, w] that have no links."""
        averaged = rows.clone()
        averaged[:, : self.shape.width] /= self.shape.layers + 1
        return averaged

    def every_layer(self, table: Tensor) -> list[Tensor]:
        """E^1, ..., E^L [R, width] of a whole table."""
        layers, below = [], table[:, : self.shape.width].contiguous()
        for number in range(self.shape.layers):
            layer = self.past[number].clone() if self.past else torch.zeros_like(below)
            layer[self.linked] += torch.from_numpy(self.matrix @ take_rows(below, self.linked).numpy())
            layers.append(layer)
            below = layer
        return layers


def propagation(edges: Tensor, past: Sequence[Tensor], shape: GraphShape) -> Propagation:
    """Of distinct links [m, 2 or more] int32 (user, item) and, of a past, degree [R, 1] and layers H^l [R, width] each.

    With D links in the past and T in all, a row's sum over the past links is H^l sqrt(D / T) = P^l: each term is divided
    by the root of the row's own degree, and that has grown. Of neighbours it is assumed that neither their rows nor
    their degrees have changed since; that is all in which this differs from the full graph. Source: the incremental
    graph convolution of CIGC (Ding et al. 2022), with its weights of old and new at one and no distillation.
    """
    from scipy.sparse import csr_matrix  # only if there is a graph: the import takes time

    users, count = shape.sizes[0], sum(shape.sizes)
    ends = torch.cat([edges[:, 0].long(), edges[:, 1].long() + users])
    new = torch.bincount(ends, minlength=count).float()
    old = past[0][:, 0] if past else torch.zeros(count)
    degree = old + new
    linked = new.nonzero().flatten()
    slot = torch.full((count,), -1)
    slot[linked] = torch.arange(len(linked))
    from_slot, to_slot = slot[ends], slot[ends.roll(len(edges))]
    value = (degree[ends] * degree[ends.roll(len(edges))]).rsqrt()
    index = (from_slot.numpy(), to_slot.numpy())
    matrix = csr_matrix((value.numpy(), index), shape=(len(linked), len(linked)), dtype=np.float32)
    matrix.sort_indices()
    scale = (old / degree.clamp(min=1)).sqrt()[:, None]
    old_layers = tuple(layer * scale for layer in past[1:])
    graph = Propagation(shape, linked, slot, matrix, degree, old_layers, torch.zeros(1, 1))
    if not old_layers:
        return graph
    layers = graph.every_layer(torch.zeros(count, shape.width))
    constant = torch.stack(layers).sum(0) / (shape.layers + 1)
    return Propagation(shape, linked, slot, matrix, degree, old_layers, constant)


@dataclass(frozen=True, eq=False)
class LinkedRows:
    """The look-up of a propagated model: an entry is made of all linked rows, besides its own."""

    over: Propagation

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The linked rows, then the entries' own: [k + n F]."""
        return torch.cat([self.over.linked, own_rows(ids, [*self.over.shape.sizes])])

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """E of the entries' rows, [n, F, w]. Differentiable."""
        over, own = self.over, own_rows(ids, [*self.over.shape.sizes])
        linked, alone = values[: len(over.linked)], values[len(over.linked) :]
        with_gradient = linked - linked.detach()  # zero; its gradient is that of the spread rows
        if with_gradient.requires_grad:
            with_gradient.register_hook(over.spread)  # type: ignore[no-untyped-call]
        spread, slot = over.spread(linked.detach()) + with_gradient, over.slot[own]
        width = over.shape.width
        unlinked = torch.cat([alone[:, :width] / (over.shape.layers + 1), alone[:, width:]], 1)
        embedded = unlinked
        if len(over.linked):
            embedded = torch.where(slot[:, None] >= 0, spread.index_select(0, slot.clamp(min=0)), unlinked)
        if over.past:
            embedded = torch.cat([embedded[:, :width] + over.constant.index_select(0, own), embedded[:, width:]], 1)
        return embedded.view(*ids.shape, -1)


def propagation_step(
    table: Tensor,
    optimizer: RowOptimizer,
    pairs: Pairs,
    loss: RankingLoss,
    regularizer: Regularizer,
    graph: Propagation,
) -> Tensor:
    """`bilinear_step` for a model of E, on E^0 = `table`; returns the mean loss. Every linked row is updated.

    L2 and penalties act on rows of E^0 that occur in the batch, once for each time, as without a graph.
    """
    gradients = bilinear_gradients(graph.propagate(table), pairs, loss, graph.shape.width)
    rows, gradient, times = (torch.cat(parts) for parts in (gradients.rows, gradients.gradient, gradients.times))
    slot = graph.slot.index_select(0, rows)
    inside, unlinked = (slot >= 0).nonzero().flatten(), (slot < 0).nonzero().flatten()
    linked_gradient = torch.zeros(len(graph.linked), table.shape[1])
    put_rows(linked_gradient, slot[inside], take_rows(gradient, inside))
    linked_times = torch.zeros(len(graph.linked), dtype=torch.int64)
    linked_times[slot[inside]] = times[inside]
    updates = [
        (graph.linked, graph.spread(linked_gradient), linked_times),
        (rows[unlinked], graph.alone(take_rows(gradient, unlinked)), times[unlinked]),
    ]
    for step_rows, step_gradient, count in updates:
        regularizer.add_row_gradient(step_gradient, table, step_rows, count)
        optimizer.step(table, step_rows, step_gradient)
    return gradients.loss
