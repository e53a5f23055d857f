"""LightGCN: matrix factorisation whose rows are averaged over the graph of users and the items they took."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

from torch import Generator, Tensor, nn

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.interaction_graph import (
    FIELDS,
    Form,
    GraphAtClose,
    full_graph,
    incremental_graph,
    load_graph,
)
from nightloop.tasks.layers.propagation import GraphShape, LinkedRows, Propagation
from nightloop.tasks.layers.state import state_of
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import fuse, split
from nightloop.tasks.modules.lookup import own_close
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace

Links = Literal["own", "before"]


class LightGCN(nn.Module):
    """Matrix factorisation whose rows are averaged over the graph of users and the items they took.

        score = MF of E    E = (E^0 + ... + E^L) / (L + 1)    E^l = D^-1/2 A D^-1/2 E^(l-1)

    E^0 are the tables that are learned. A has a one for each pair of a user and an item that met so far, however often
    they met. Biases, if any, are not spread over the graph. An id without links has E = E^0 / (L + 1), as the formula
    says.

    What is judged by a period (SML's transfers, ASMG's generator, Hedge) sees the graph of the close before that
    period, and what is served sees the graph of its own night. The graph begins where the chain of checkpoints begins.
    It is that of the logs, the same for all strategies, and no window or fresh start of a strategy cuts it.

    Parameters
    ----------
    width : int, default 64
        Numbers in a row. 64 is the paper's value. A larger width can describe an id in more detail and needs more rows
        for each id.
    layers : int, default 2
        Layers L, from 1. With more layers a row is averaged over neighbours that are farther away.
    graph : {"full", "incremental"}, default "full"
        "full" carries all links. "incremental" carries degrees and E^1, ..., E^L of the night before, as they were
        served, and spreads over the links of the period alone. The first period is then as with the full graph; later,
        a step changes only rows of the period, its cost grows only with the period, and the checkpoint does not grow
        with time. A pair that meets again in a later period is then a second link.
    links : {"before", "own"}, default "before"
        The graph of the rows that are trained on. "before": that of the close before, as when the model is served; at
        the first checkpoint of a chain, before which there were no links, its own. "own": that of the newest period of
        the rows, as in the paper; each positive is then linked already and no negative is.
    biases : bool, default False
        Whether a row has one more number, the last, that is added to the score.
    scale : float, default 0.1
        Standard deviation of new rows of E^0, as in `MF`.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    He et al. 2020, LightGCN: simplifying and powering graph convolution network for recommendation, section 3. Ding et
    al. 2022, Causal incremental graph convolution for recommender system retraining (the incremental form).

    Examples
    --------
    A user with the row (1, 2) took an item with the row (3, 4), and nothing else happened: with one layer both become
    (E^0 + E^1) / 2, the mean of the two rows.

    >>> import torch
    >>> from nightloop.tasks.models.lightgcn import LightGCN
    >>> from nightloop.tasks.modules.checkpoint import pack
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> weights = {"table.user": torch.tensor([[1.0, 2.0]]), "table.item": torch.tensor([[3.0, 4.0]])}
    >>> model = LightGCN(width=2, layers=1).at(weights, {}, simulated_periods("ranking", count=1, rows=1)[0])
    >>> users, items = model.factors({**weights, **pack("kept", model.keep())})
    >>> print(users.tolist(), items.tolist())
    [[2.0, 3.0]] [[2.0, 3.0]]
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = FIELDS
    search_space: ClassVar[SearchSpace] = {"width": (16, 32, 64, 128), "layers": (1, 2, 3)}

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        graph: Form = "full",
        links: Links = "before",
        biases: bool = False,
        scale: float = 0.1,
    ) -> None:
        refuse_outside("LightGCN: layers", layers, ROUNDS, what="none is MF")
        if graph not in get_args(Form):
            raise PlanError(f"LightGCN: graph: given {graph!r}; allowed are {', '.join(get_args(Form))}")
        if links not in get_args(Links):
            raise PlanError(f"LightGCN: links: given {links!r}; allowed are {', '.join(get_args(Links))}")
        super().__init__()
        self.dot, self.layers, self.graph, self.links = MF(width, biases, scale), layers, graph, links
        self.factor_width, self.width = self.dot.factor_width, self.dot.width
        self.night: GraphAtClose | None = None

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows of E^0: [count, width]."""
        return self.dot.new_rows(field, count, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """Nothing: all that is learned is in the two tables."""
        return {}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, 2, width] of E."""
        return self.dot.logits(embedded, numeric, dense)

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, d'] and items [I, d'] whose dot products are the logits: E, with two more columns for biases."""
        sizes = [len(weights[f"table.{field}"]) for field in FIELDS]
        if state := state_of(weights):
            graph = load_graph(state).propagation(self._shape(sizes))
        else:
            graph = self._propagation(sizes, self._night_graphs().now.period - 1)
        return self.dot.factors(split(graph.propagate(fuse(weights, FIELDS)), FIELDS, sizes))

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> LightGCN:
        """The model for the night of `logs.period`, with the graphs of its close and of earlier closes."""
        before, model = load_graph(kept), copy.copy(self)
        if self.graph == "full":
            model.night = GraphAtClose(full_graph(before, logs), None)
        else:
            sizes = [len(weights[f"table.{field}"]) for field in FIELDS]
            model.night = GraphAtClose(incremental_graph(before, weights, logs, self._shape(sizes)), before)
        return model

    def keep(self) -> dict[str, Tensor]:
        """The graph at the close of the night."""
        return self._night_graphs().now.to_tensors()

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> LinkedRows:
        """Rows spread over the graph at the close of a period; if they are trained on, over the graph of `links`."""
        graph = self._propagation(sizes, close)
        if self.links == "before" and close == own_close(logs):
            earlier = self._propagation(sizes, close - 1)
            graph = earlier if len(earlier.linked) or earlier.past else graph
        return LinkedRows(graph)

    def _propagation(self, sizes: list[int], close: int) -> Propagation:
        return self._night_graphs().propagation(close, self._shape(sizes))

    def _shape(self, sizes: list[int]) -> GraphShape:
        return GraphShape(self.layers, self.factor_width, (sizes[0], sizes[1]))

    def _night_graphs(self) -> GraphAtClose:
        if self.night is None:
            raise PlanError(
                "LightGCN has no graph: these weights have none beside them (kept/edges), and the model is not at a "
                "night. Run strategies by nightloop.tasks.retraining.advance, which sets both"
            )
        return self.night
