"""Interaction graph: which users took which items, kept by LightGCN from night to night, also as of earlier closes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.propagation import GraphShape, Propagation, propagation
from nightloop.tasks.modules.checkpoint import Weights, pack, unpack
from nightloop.tasks.modules.fused_tables import fuse, split
from nightloop.tasks.plan.errors import DataError

Form = Literal["full", "incremental"]

FIELDS = ("user", "item")
NEVER = -1  # the period of a graph that has seen nothing
FAR = 1 << 31  # above every vocabulary row


@dataclass(frozen=True, eq=False)
class Graph:
    """Pairs of user and item, and a summary of the past before them.

    The past is `degree/table.<field>` [rows, 1] and `layer/<l>/table.<field>` [rows, width], l = 1..L; a full graph,
    whose pairs are all there ever were, has none.
    """

    period: int  # the graph is as of its close
    edges: Tensor  # [m, 3] int32: user, item, period of first sight; distinct pairs, by period, user and item
    past: Weights = field(default_factory=dict)

    def to_tensors(self) -> dict[str, Tensor]:
        """The graph as tensors of a checkpoint."""
        return {"period": torch.tensor([self.period]), "edges": self.edges, **pack("past", self.past)}

    def until(self, close: int) -> Graph:
        """A full graph as it was at an earlier close."""
        return self if close >= self.period else Graph(close, self.edges[self.edges[:, 2] <= close])

    def propagation(self, shape: GraphShape) -> Propagation:
        """How rows of tables are spread over it. Raises DataError if its past is one of other layers or widths."""
        names = ["degree", *(f"layer/{number}" for number in range(1, shape.layers + 1))] if self.past else []
        expected = {f"{name}/table.{f}": (1 if name == "degree" else shape.width) for name in names for f in FIELDS}
        if {name: tensor.shape[1] for name, tensor in self.past.items()} != expected:
            raise DataError(
                f"the graph's past was kept for other layers or another width; given are {', '.join(sorted(self.past))}, "
                f"the model has {shape.layers} layers of {shape.width} columns. Start a new chain from a root"
            )
        tables = dict(zip(FIELDS, shape.sizes, strict=True))
        past = [torch.cat([_with_rows(self.past[f"{name}/table.{f}"], tables[f]) for f in FIELDS]) for name in names]
        return propagation(self.edges, past, shape)


def load_graph(tensors: Weights) -> Graph:
    """The graph that `Graph.to_tensors` wrote; without tensors the empty graph."""
    if not tensors:
        return Graph(NEVER, torch.zeros(0, 3, dtype=torch.int32))
    return Graph(int(tensors["period"]), tensors["edges"], unpack("past", tensors))


def full_graph(before: Graph, logs: Logs) -> Graph:
    """All pairs of the graph and of the logs."""
    return Graph(logs.period, _drop_repeats(torch.cat([before.edges, _pairs(logs)])))


def incremental_graph(before: Graph, weights: Weights, logs: Logs, shape: GraphShape) -> Graph:
    """The pairs of later periods than the graph's; it becomes their past, with the layers of the `weights` it served."""
    if logs.period <= before.period:
        return before
    edges = _drop_repeats(_pairs(logs.since(before.period + 1)))
    if before.period == NEVER:
        return Graph(logs.period, edges)
    over = before.propagation(shape)
    past = split(over.degree[:, None], FIELDS, shape.sizes, "degree/")
    for number, layer in enumerate(over.every_layer(fuse(weights, FIELDS)), 1):
        past |= split(layer, FIELDS, shape.sizes, f"layer/{number}/")
    return Graph(logs.period, edges, past)


def _pairs(logs: Logs) -> Tensor:
    columns = [logs.rows[:, logs.fields.index(f)] for f in FIELDS]
    return torch.stack([*columns, logs.periods.long()], 1).int()


def _drop_repeats(edges: Tensor) -> Tensor:
    """Each pair once, with the period of its first occurrence: [m, 3] int32."""
    key, pair = torch.unique(edges[:, 0].long() * FAR + edges[:, 1], return_inverse=True)
    first = torch.full((len(key),), FAR - 1, dtype=torch.int32).scatter_reduce_(0, pair, edges[:, 2], "amin")
    order = torch.argsort(first, stable=True)
    return torch.stack([(key // FAR).int(), (key % FAR).int(), first], 1)[order]


def _with_rows(table: Tensor, size: int) -> Tensor:
    """The past of so many rows. Ids that came later have none: rows of zeros, which weights of an earlier close do not have."""
    return torch.cat([table[:size], table.new_zeros(max(size - len(table), 0), table.shape[1])])


@dataclass(frozen=True, eq=False)
class GraphAtClose:
    """The graphs of a night: as of its close, and as of the close before."""

    now: Graph
    before: Graph | None  # incremental: for all earlier closes; full: None, because `now` has all pairs
    made: dict[tuple[int, GraphShape], Propagation] = field(default_factory=dict)  # cache

    def propagation(self, close: int, shape: GraphShape) -> Propagation:
        """Of the graph at the close of a period; of a past that an incremental graph forgot, that of the night before."""
        if (close, shape) not in self.made:
            graph = self.before if self.before is not None and close < self.now.period else self.now.until(close)
            self.made[close, shape] = graph.propagation(shape)
        return self.made[close, shape]
