"""MF: matrix factorisation, the dot product of a user's and an item's row."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.linalg import vecdot

from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.bounds import WIDEST, refuse_outside


class MF(nn.Module):
    """logit = p_u . q_i (+ b_u + b_i with `biases`), trained on positives against sampled negatives.

    Rows have `width` numbers, with biases one more, the last. New rows are drawn from N(0, `scale`^2), biases are
    nought. The scale matters: at SML's N(0, 1) scores of untrained rows have a spread of 8, more than a night's
    training can mend; at 0.1 fine-tuning on movietweetings reaches twice the Recall@20. Source: SML (Zhang et al.
    2020), section 5.2.
    """

    family: Literal["ranking", "ctr"] = "ranking"
    fields = ("user", "item")

    def __init__(self, width: int = 64, biases: bool = False, scale: float = 0.1) -> None:
        refuse_outside("MF: width", width, WIDEST)
        if not (isinstance(scale, int | float) and 0 < scale < inf):
            raise ValueError(f"MF: scale: given {scale!r}; allowed are numbers above 0")
        super().__init__()
        self.factor_width, self.biases, self.scale = width, bool(biases), float(scale)

    @property
    def width(self) -> int:
        """Columns of both tables."""
        return self.factor_width + int(self.biases)

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        rows = torch.randn(count, self.width, generator=generator).mul_(self.scale)
        rows[:, self.factor_width :] = 0
        return rows

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """Nothing: both tables are all there is."""
        return {}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, 2, width]."""
        user, item = embedded.unbind(1)
        d = self.factor_width
        scores: Tensor = vecdot(user[:, :d], item[:, :d])
        return scores + user[:, d] + item[:, d] if self.biases else scores

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, d'] and items [I, d'] whose dot products are the logits; biases become two more columns."""
        users, items = weights["table.user"], weights["table.item"]
        if not self.biases:
            return users, items
        return torch.cat([users, torch.ones(len(users), 1)], 1), torch.cat(
            [items[:, :-1], torch.ones(len(items), 1), items[:, -1:]], 1
        )
