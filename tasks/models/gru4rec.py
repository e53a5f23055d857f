"""GRU4Rec: a recurrent network reads the items that a user took last; its output is multiplied with the items' rows."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.linalg import vecdot
from torch.nn.functional import linear

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.ctr_inputs import check_options
from nightloop.tasks.layers.mlp import xavier
from nightloop.tasks.layers.sequence import (
    HistoryRows,
    LastItems,
    encode_histories,
    items_to_encode,
    last_items,
    require_history,
    with_history,
)
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.search_space import SearchSpace


class GRU4Rec(nn.Module):
    """A recurrent network reads the items that a user took last; its output is multiplied with the items' rows.

        logit = (W_o h_L) . e_i + b_i
        r, z = sigmoid(W x_t + U h_t-1)    c = tanh(W_c x_t + U_c (r h_t-1))    h_t = (1 - z) h_t-1 + z c

    x are the rows of the last `history` items, and h_0 = 0. It is trained on positives against sampled negatives. There
    is no row for a user. The gates have no biases: a place without an item then leaves a zero state as it is, and for a
    user without any item the biases b_i decide. One row of an item, e_i and b_i, serves as input and as output, so that
    a new item has half as many numbers to learn. The published model reads sessions; this one reads a user's last
    items, as the comparison in the SML paper does.

    Parameters
    ----------
    history : int
        Number of earlier items that are read, from 1. The plan's `columns.history_length` gives it.
    width : int, default 64
        Numbers in an item's embedding and in the network's state. A larger width can describe an item in more detail,
        needs more rows for each item and takes more time a row.
    scale : float, default 0.1
        Standard deviation of new rows. If it is large, items without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range, or the plan has no history.

    References
    ----------
    Hidasi et al. 2016, Session-based recommendations with recurrent neural networks. Hidasi and Karatzoglou 2018,
    Recurrent neural networks with top-k gains for session-based recommendations (the tied rows).

    Examples
    --------
    With every weight at 1, one item and width 1: z = sigmoid(1) = 0.731, c = tanh(1) = 0.762, and the logit is 1 *
    0.731 * 0.762 + 1.

    >>> import torch
    >>> from nightloop.tasks.models.gru4rec import GRU4Rec
    >>> model = GRU4Rec(history=1, width=1)
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)  # the item that is scored, then the history
    >>> print(round(model.logits(rows, torch.zeros(1, 0), dense).item(), 3))
    1.557
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = ("item",)
    search_space: ClassVar[SearchSpace] = {"width": (16, 32, 64, 128)}

    def __init__(self, history: int, width: int = 64, scale: float = 0.1) -> None:
        require_history("GRU4Rec", history)
        check_options("GRU4Rec", 0, scale, {"width": (width,)})
        super().__init__()
        self.history, self.factor_columns, self.width, self.scale = history, width, width + 1, float(scale)
        self.night: LastItems | None = None

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width], N(0, `scale`^2), and zero for the bias."""
        rows = torch.randn(count, self.width, generator=generator).mul_(self.scale)
        rows[:, -1] = 0
        return rows

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the network: reset and update gates, then the candidate, and the output."""
        d = self.factor_columns
        shapes = {"input": (3 * d, d), "gates": (2 * d, d), "candidate": (d, d), "output": (d, d)}
        return {name: xavier(out, into, generator) for name, (out, into) in shapes.items()}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows of an item and of the history before it [n, 1 + L, width]."""
        d = self.factor_columns
        item, past = embedded[:, 0], embedded[:, 1:]
        scores: Tensor = vecdot(self.encode(past, dense), item[:, :d])
        return scores + item[:, d]

    def encode(self, past: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """W_o h_L [n, d] of histories' rows [n, L, width], newest last, zeros before the first."""
        d = self.factor_columns
        state = past.new_zeros(len(past), d)
        for inputs in linear(past[..., :d], dense["input"]).unbind(1):
            reset, update = torch.sigmoid(inputs[:, : 2 * d] + linear(state, dense["gates"])).chunk(2, 1)
            candidate = torch.tanh(inputs[:, 2 * d :] + linear(reset * state, dense["candidate"]))
            state = torch.lerp(state, candidate, update)
        return linear(state, dense["output"])

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, d + 1], encoded by what they took last, and items [I, d + 1]."""
        items = weights["table.item"]
        users = encode_histories(lambda past: self.encode(past, weights), items, items_to_encode(weights, self.night))
        return torch.cat([users, users.new_ones(len(users), 1)], 1), items

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> GRU4Rec:
        """As in `StatefulModel`: what is kept is what each user took last."""
        model = copy(self)
        model.night = last_items(kept, logs)
        return model

    def keep(self) -> dict[str, Tensor]:
        """As in `StatefulModel`."""
        return self.night.keep() if self.night else {}

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> HistoryRows:
        """As in `StatefulModel`; a row's history ends before the row, whatever the close."""
        return with_history(self.fields, self.history, sizes, logs)
