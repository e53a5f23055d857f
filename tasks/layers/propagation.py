"""Propagation: rows of users and items spread over whom they are linked to, as LightGCN does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.modules.dot_product_step import Pairs, bilinear_gradients
from nightloop.tasks.modules.lookup import own_rows
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
    past that is not among the links; without one it is nought, and this is LightGCN (He et al. 2020, equations 3, 4 and
    9). So E is affine in E^0, and the gradient by E^0 is that by E, spread in the same way without the P^l. Rows
    without links are nothing to B: theirs is (E^0 + P^1 + ... + P^L) / (L + 1).
    """

    shape: GraphShape
    linked: Tensor  # [k] int64, ascending: rows of the fused table that have links
    slot: Tensor  # [R] int64 of each row: its place among `linked`, or -1
    matrix: csr_matrix  # B [k, k]
    degree: Tensor  # [R] float32: T
    past: tuple[Tensor, ...]  # P^l [R, width] for l = 1..L; or none
    constant: Tensor  # [R, width] what the past adds to E; or [1, 1] nought

    def propagate(self, table: Tensor) -> Tensor:
        """E of a whole table: [R, w]."""
        found = self.alone(table)
        found[self.linked] = self.spread(take_rows(table, self.linked))
        found[:, : self.shape.width] += self.constant
        return found

    def spread(self, rows: Tensor) -> Tensor:
        """Of the linked rows [k, w], or of the gradient by what they become, without the past: [k, w]."""
        found, own = rows.clone(), rows[:, : self.shape.width].contiguous().numpy()
        mixed = own
        for _ in range(self.shape.layers):
            mixed = self.matrix @ mixed
            mixed += own
        found[:, : self.shape.width] = torch.from_numpy(mixed) / (self.shape.layers + 1)
        return found

    def alone(self, rows: Tensor) -> Tensor:
        """The same of rows [k, w] that have no links."""
        found = rows.clone()
        found[:, : self.shape.width] /= self.shape.layers + 1
        return found

    def every_layer(self, table: Tensor) -> list[Tensor]:
        """E^1, ..., E^L [R, width] of a whole table."""
        found, below = [], table[:, : self.shape.width].contiguous()
        for number in range(self.shape.layers):
            layer = self.past[number].clone() if self.past else torch.zeros_like(below)
            layer[self.linked] += torch.from_numpy(self.matrix @ take_rows(below, self.linked).numpy())
            found.append(layer)
            below = layer
        return found


def propagation(edges: Tensor, past: Sequence[Tensor], shape: GraphShape) -> Propagation:
    """Of distinct links [m, 2 or more] int32 (user, item) and, of a past, degree [R, 1] and layers H^l [R, width] each.

    With D links in the past and T in all, a row's sum over the past links is H^l sqrt(D / T) = P^l: each term is divided
    by the root of the row's own degree, and that has grown. Of neighbours it is assumed that neither their rows nor
    their degrees have changed since; that is all in which this differs from the full graph. Source: the incremental
    graph convolution of CIGC (Ding et al. 2022), with its weights of old and new at one and no distillation.
    """
    from scipy.sparse import csr_matrix  # only where there is a graph: the import takes time

    users, count = shape.sizes[0], sum(shape.sizes)
    ends = torch.cat([edges[:, 0].long(), edges[:, 1].long() + users])
    new = torch.bincount(ends, minlength=count).float()
    old = past[0][:, 0] if past else torch.zeros(count)
    degree = old + new
    linked = new.nonzero().flatten()
    slot = torch.full((count,), -1)
    slot[linked] = torch.arange(len(linked))
    here, there = slot[ends], slot[ends.roll(len(edges))]
    value = (degree[ends] * degree[ends.roll(len(edges))]).rsqrt()
    index = (here.numpy(), there.numpy())
    matrix = csr_matrix((value.numpy(), index), shape=(len(linked), len(linked)), dtype=np.float32)
    matrix.sort_indices()
    scale = (old / degree.clamp(min=1)).sqrt()[:, None]
    still = tuple(layer * scale for layer in past[1:])
    made = Propagation(shape, linked, slot, matrix, degree, still, torch.zeros(1, 1))
    if not still:
        return made
    layers = made.every_layer(torch.zeros(count, shape.width))
    constant = torch.stack(layers).sum(0) / (shape.layers + 1)
    return Propagation(shape, linked, slot, matrix, degree, still, constant)


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
        by_hand = linked - linked.detach()  # nought, whose gradient is that of what is spread
        if by_hand.requires_grad:
            by_hand.register_hook(over.spread)  # type: ignore[no-untyped-call]
        spread, slot = over.spread(linked.detach()) + by_hand, over.slot[own]
        width = over.shape.width
        lone = torch.cat([alone[:, :width] / (over.shape.layers + 1), alone[:, width:]], 1)
        found = lone
        if len(over.linked):
            found = torch.where(slot[:, None] >= 0, spread.index_select(0, slot.clamp(min=0)), lone)
        if over.past:
            found = torch.cat([found[:, :width] + over.constant.index_select(0, own), found[:, width:]], 1)
        return found.view(*ids.shape, -1)


def propagation_step(
    table: Tensor, optimizer: RowOptimizer, pairs: Pairs, real: Tensor | None, springs: Regularizer, over: Propagation
) -> Tensor:
    """`bilinear_step` for a model of E, on E^0 = `table`; returns the mean loss. Every linked row moves.

    L2 and pulls act on rows of E^0 that occur in the batch, as often as they do, as they do without a graph.
    """
    found = bilinear_gradients(over.propagate(table), pairs, real, over.shape.width)
    rows, gradient, times = (torch.cat(parts) for parts in (found.rows, found.gradient, found.times))
    slot = over.slot.index_select(0, rows)
    inside, lone = (slot >= 0).nonzero().flatten(), (slot < 0).nonzero().flatten()
    of_linked = torch.zeros(len(over.linked), table.shape[1])
    put_rows(of_linked, slot[inside], take_rows(gradient, inside))
    often = torch.zeros(len(over.linked), dtype=torch.int64)
    often[slot[inside]] = times[inside]
    moves = [
        (over.linked, over.spread(of_linked), often),
        (rows[lone], over.alone(take_rows(gradient, lone)), times[lone]),
    ]
    for which, slope, count in moves:
        springs.add_row_gradient(slope, table, which, count)
        optimizer.step(table, which, slope)
    return found.loss
