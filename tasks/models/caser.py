"""Caser: convolutions over the rows of the items that a user took last, as over an image, beside a row of the user."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.linalg import vecdot
from torch.nn.functional import conv1d, linear

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


class Caser(nn.Module):
    """Convolutions over the rows of the items that a user took last, as over an image, beside a row of the user.

        logit = v_i . [z, p_u] + b_i    z = relu(W [o, o~] + b)

    It is trained on positives against sampled negatives. E [L, d] are the rows of the last `history` items, zeros for
    missing ones. o: for each height 1 .. L there are `horizontal` filters of that height and d columns, with ReLU; each
    gives its largest value over E from top to bottom. o~: `vertical` filters of L rows and one column give weighted
    sums of E, one for each of the d columns. An item's row holds e_i [d], v_i [2 d] and b_i. A user's row holds p_u
    [d]; its other columns are zero and are not read. There is no dropout, because training makes one or two passes over
    a period.

    Parameters
    ----------
    history : int
        Number L of earlier items that are read, from 1. The plan's `columns.history_length` gives it. The number of
        filters grows with it.
    width : int, default 32
        Numbers d in an embedding. An item's row has three times as many, and one more. A larger width can describe an
        id in more detail and needs more rows for each id.
    horizontal : int, default 16
        Filters of each height. More of them recognise more patterns of consecutive items and take more time a row.
    vertical : int, default 4
        Filters over single columns. More of them give more weighted sums of the items.
    scale : float, default 0.1
        Standard deviation of new rows. If it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range, or the plan has no history.

    References
    ----------
    Tang and Wang 2018, Personalized top-n sequential recommendation via convolutional sequence embedding, sections 3.1
    to 3.3, with one target and one negative a row.

    Examples
    --------
    With every weight at 1, one item and width 1: o = relu(1 + 1) = 2, o~ = 1 + 1 = 2, z = relu(2 + 2 + 1) = 5, and the
    logit is 1 * 5 + 1 * 1 + 1.

    >>> import torch
    >>> from nightloop.tasks.models.caser import Caser
    >>> model = Caser(history=1, width=1, horizontal=1, vertical=1)
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 3, model.width)  # the user, the item that is scored, then the history
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    7.0
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = ("user", "item")
    search_space: ClassVar[SearchSpace] = {"width": (16, 32, 64)}

    def __init__(
        self, history: int, width: int = 32, horizontal: int = 16, vertical: int = 4, scale: float = 0.1
    ) -> None:
        require_history("Caser", history)
        sizes = {"width": (width,), "horizontal": (horizontal,), "vertical": (vertical,)}
        check_options("Caser", 0, scale, sizes)
        super().__init__()
        self.history, self.factor_columns, self.width, self.scale = history, width, 3 * width + 1, float(scale)
        self.horizontal, self.vertical = horizontal, vertical
        self.night: LastItems | None = None

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width], N(0, `scale`^2); zero for biases and for what users do not have."""
        rows = torch.randn(count, self.width, generator=generator).mul_(self.scale)
        rows[:, self.factor_columns if field == "user" else -1 :] = 0
        return rows

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the filters and of the layer that reads them."""
        d, weights = self.factor_columns, {}
        for height in range(1, self.history + 1):
            filters = xavier(self.horizontal, d * height, generator)
            weights[f"horizontal.{height}.weight"] = filters.view(self.horizontal, d, height)
            weights[f"horizontal.{height}.bias"] = torch.zeros(self.horizontal)
        weights["vertical.weight"] = xavier(self.vertical, self.history, generator)
        weights["layer.weight"] = xavier(d, self.history * self.horizontal + self.vertical * d, generator)
        return {**weights, "vertical.bias": torch.zeros(self.vertical), "layer.bias": torch.zeros(d)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows of a user, an item and the history before it [n, 2 + L, width]."""
        d = self.factor_columns
        user, item, past = embedded[:, 0], embedded[:, 1], embedded[:, 2:]
        with_history = torch.cat([self.encode(past, dense), user[:, :d]], 1)
        scores: Tensor = vecdot(with_history, item[:, d:-1])
        return scores + item[:, -1]

    def encode(self, past: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """z [n, d] of histories' rows [n, L, width], newest last, zeros before the first."""
        image = past[..., : self.factor_columns].transpose(1, 2)  # [n, d, L]
        maxima = []
        for height in range(1, self.history + 1):
            values = conv1d(image, dense[f"horizontal.{height}.weight"], dense[f"horizontal.{height}.bias"])
            maxima.append(values.relu().amax(2))
        sums = linear(image, dense["vertical.weight"], dense["vertical.bias"]).flatten(1)
        return linear(torch.cat([*maxima, sums], 1), dense["layer.weight"], dense["layer.bias"]).relu()

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, 2 d + 1], encoded by what they took last, and items [I, 2 d + 1]."""
        d, users, items = self.factor_columns, weights["table.user"], weights["table.item"]
        latest = items_to_encode(weights, self.night)[: len(users)]
        latest = torch.cat([latest, latest.new_zeros(len(users) - len(latest), latest.shape[1])])
        encoded = encode_histories(lambda past: self.encode(past, weights), items, latest)
        return torch.cat([encoded, users[:, :d], users.new_ones(len(users), 1)], 1), items[:, d:]

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> Caser:
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
