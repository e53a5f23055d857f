"""Caser: convolutions over the rows of the items a user took last, as over an image, beside a row of the user."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.linalg import vecdot
from torch.nn.functional import conv1d, linear

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.ctr_inputs import check
from nightloop.tasks.layers.mlp import xavier
from nightloop.tasks.layers.sequence import Last, Told, encoded, last, require_history, served, with_history
from nightloop.tasks.modules.checkpoint import Weights


class Caser(nn.Module):
    """logit = v_i . [z, p_u] + b_i with z = relu(W [o, o~] + b), trained on positives against sampled negatives.

    E [L, d] are the rows of the last `history` items, noughts where there are fewer. o: for each height 1..L
    `horizontal` filters of that height and d columns, ReLU, the greatest value over E from top to bottom. o~:
    `vertical` filters of L rows and one column, for each of d columns a weighted sum of E. An item's row holds e_i [d],
    v_i [2 d] and b_i; a user's p_u [d], and noughts that nobody reads. There is no dropout: what is learned of a night
    is a pass or two. Source: Tang and Wang 2018, sections 3.1 to 3.3, with one target and one negative a row.
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = ("user", "item")

    def __init__(
        self, history: int, width: int = 32, horizontal: int = 16, vertical: int = 4, scale: float = 0.1
    ) -> None:
        require_history("Caser", history)
        sizes = {"width": (width,), "horizontal": (horizontal,), "vertical": (vertical,)}
        check("Caser", 0, scale, sizes)
        super().__init__()
        self.history, self.factor_columns, self.scale = history, width, float(scale)
        self.horizontal, self.vertical = horizontal, vertical
        self.night: Last | None = None

    @property
    def width(self) -> int:
        """Columns of both tables: e_i, v_i and b_i."""
        return 3 * self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width], N(0, `scale`^2); noughts for biases and what a user does not have."""
        rows = torch.randn(count, self.width, generator=generator).mul_(self.scale)
        rows[:, self.factor_columns if field == "user" else -1 :] = 0
        return rows

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the filters and of the layer behind them."""
        d, found = self.factor_columns, {}
        for height in range(1, self.history + 1):
            drawn = xavier(self.horizontal, d * height, generator)
            found[f"horizontal.{height}.weight"] = drawn.view(self.horizontal, d, height)
            found[f"horizontal.{height}.bias"] = torch.zeros(self.horizontal)
        found["vertical.weight"] = xavier(self.vertical, self.history, generator)
        found["layer.weight"] = xavier(d, self.history * self.horizontal + self.vertical * d, generator)
        return {**found, "vertical.bias": torch.zeros(self.vertical), "layer.bias": torch.zeros(d)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows of a user, an item and the history before it [n, 2 + L, width]."""
        d = self.factor_columns
        user, item, past = embedded[:, 0], embedded[:, 1], embedded[:, 2:]
        with_history = torch.cat([self.encode(past, dense), user[:, :d]], 1)
        scores: Tensor = vecdot(with_history, item[:, d:-1])
        return scores + item[:, -1]

    def encode(self, past: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """z [n, d] of histories' rows [n, L, width], newest last, noughts before the first."""
        image = past[..., : self.factor_columns].transpose(1, 2)  # [n, d, L]
        found = []
        for height in range(1, self.history + 1):
            values = conv1d(image, dense[f"horizontal.{height}.weight"], dense[f"horizontal.{height}.bias"])
            found.append(values.relu().amax(2))
        sums = linear(image, dense["vertical.weight"], dense["vertical.bias"]).flatten(1)
        return linear(torch.cat([*found, sums], 1), dense["layer.weight"], dense["layer.bias"]).relu()

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, 2 d + 1], encoded by what they took last, and items [I, 2 d + 1]."""
        d, users, items = self.factor_columns, weights["table.user"], weights["table.item"]
        latest = served(weights, self.night)[: len(users)]
        latest = torch.cat([latest, latest.new_zeros(len(users) - len(latest), latest.shape[1])])
        made = encoded(lambda past: self.encode(past, weights), items, latest)
        return torch.cat([made, users[:, :d], users.new_ones(len(users), 1)], 1), items[:, d:]

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> Caser:
        """As `Keeping`: what is kept is what each user took last."""
        found = copy(self)
        found.night = last(kept, logs)
        return found

    def keep(self) -> dict[str, Tensor]:
        """As `Keeping`."""
        return self.night.keep() if self.night else {}

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> Told:
        """As `Keeping`; a row's history ends before it, whichever the close."""
        return with_history(self.fields, self.history, sizes, logs)
