"""LightGCN: matrix factorisation whose rows are averaged over the graph of who took what."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, get_args

from torch import Generator, Tensor, nn

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.interaction_graph import FIELDS, Form, GraphAtClose, full, incremental, load_graph
from nightloop.tasks.layers.propagation import Propagation, Shape, Spread
from nightloop.tasks.layers.state import kept
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import fuse, split
from nightloop.tasks.modules.lookup import own_close
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside

Links = Literal["own", "before"]


class LightGCN(nn.Module):
    """MF of E = (E^0 + ... + E^L) / (L + 1), E^l = D^-1/2 A D^-1/2 E^(l-1), where E^0 are the tables that are learned.

    A has a one for each pair of a user and an item met so far, however often they met; `layers` is L. Biases, if any,
    are not spread. An id without links has E = E^0 / (L + 1), as the formula says. What is judged by a period (SML's
    transfers, ASMG's generator, Hedge) sees the graph of the close before it, and what is served that of its night.
    Training with `links` `own` sees the graph of the newest period it learns from, as the paper has it, so that each
    positive is linked already and no negative is; with `before` that of the close before, as when it will be served
    (at a root, where there were no links before, its own).

    The graph begins where the chain begins: it is the logs', the same for all strategies, and no window or fresh start
    of a strategy cuts it. `graph` `full` carries all links. `incremental` carries, of the night before, degrees and
    E^1, ..., E^L as they were served, and spreads over the links of the period alone (`propagation`): the first period
    is as with the full graph; later, a step moves and costs what the period has, and the checkpoint does not grow with
    time. A pair that meets again in a later period is then a second link.
    Source: LightGCN (He et al. 2020), section 3; CIGC (Ding et al. 2022) for the incremental form.
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = FIELDS

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
            raise ValueError(f"LightGCN: graph: given {graph!r}; allowed are {', '.join(get_args(Form))}")
        if links not in get_args(Links):
            raise ValueError(f"LightGCN: links: given {links!r}; allowed are {', '.join(get_args(Links))}")
        super().__init__()
        self.dot, self.layers, self.graph, self.links = MF(width, biases, scale), layers, graph, links
        self.night: GraphAtClose | None = None

    @property
    def factor_width(self) -> int:
        """Columns that are spread and multiplied."""
        return self.dot.factor_width

    @property
    def width(self) -> int:
        """Columns of both tables."""
        return self.dot.width

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows of E^0: [count, width]."""
        return self.dot.new_rows(field, count, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """Nothing: both tables are all that is learned."""
        return {}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, 2, width] of E."""
        return self.dot.logits(embedded, numeric, dense)

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, d'] and items [I, d'] whose dot products are the logits: E, with two more columns for biases."""
        sizes = [len(weights[f"table.{field}"]) for field in FIELDS]
        if found := kept(weights):
            over = load_graph(found).propagation(self._shape(sizes))
        else:
            over = self._propagation(sizes, self._tonight().now.period - 1)
        return self.dot.factors(split(over.whole(fuse(weights, FIELDS)), FIELDS, sizes))

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> LightGCN:
        """The model on the night of `logs.period`, with the graphs of its close and of those before."""
        before, found = load_graph(kept), copy.copy(self)
        if self.graph == "full":
            found.night = GraphAtClose(full(before, logs), None)
        else:
            sizes = [len(weights[f"table.{field}"]) for field in FIELDS]
            found.night = GraphAtClose(incremental(before, weights, logs, self._shape(sizes)), before)
        return found

    def keep(self) -> dict[str, Tensor]:
        """The graph at the close of the night."""
        return self._tonight().now.kept()

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> Spread:
        """Rows spread over the graph at the close of a period; of those trained on, of what `links` says."""
        over = self._propagation(sizes, close)
        if self.links == "before" and close == own_close(logs):
            earlier = self._propagation(sizes, close - 1)
            over = earlier if len(earlier.linked) or earlier.past else over
        return Spread(over)

    def _propagation(self, sizes: list[int], close: int) -> Propagation:
        return self._tonight().propagation(close, self._shape(sizes))

    def _shape(self, sizes: list[int]) -> Shape:
        return Shape(self.layers, self.factor_width, (sizes[0], sizes[1]))

    def _tonight(self) -> GraphAtClose:
        if self.night is None:
            raise ValueError(
                "LightGCN has no graph: these weights have none beside them (kept/edges), and the model is not at a "
                "night. Strategies are to be run by nightloop.tasks.retraining.advance, which sees to both"
            )
        return self.night
