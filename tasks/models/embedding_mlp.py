"""Embedding & MLP: a perceptron over the rows of user, item and all else, and over the mean of what the user took last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward
from nightloop.tasks.layers.sequence import Last, Mean, last, require_history, with_history
from nightloop.tasks.modules.checkpoint import Weights


class EmbeddingMLP(nn.Module):
    """logit = MLP([e_1 .. e_m, mean of the history's item rows]) with ReLU between its layers.

    The history is the last `history` items, whose mean is nought where there are none; they share the item's table.
    Source: the base model of ASMG (Peng et al. 2021), section 5.1: width 8, layers of 20 and 10, up to 30 items.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        history: int,
        numeric: int = 0,
        width: int = 8,
        hidden: Sequence[int] = (20, 10),
        scale: float = 0.01,
    ) -> None:
        require_history("EmbeddingMLP", history)
        check("EmbeddingMLP", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.history, self.numeric = tuple(fields), history, numeric
        self.width, self.hidden, self.scale = width, tuple(hidden), float(scale)
        self.night: Last | None = None

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        sizes = ((len(self.fields) + 1 + self.numeric) * self.width, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from the fields' rows and the history's mean [n, F + 1, width], and numeric values [n, N]."""
        return mlp_forward(with_numeric(embedded, numeric, dense).flatten(1), dense)[:, 0]

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> EmbeddingMLP:
        """As `Keeping`: what is kept is what each user took last, for requests that come without a history."""
        found = copy(self)
        found.night = last(kept, logs)
        return found

    def keep(self) -> dict[str, Tensor]:
        """As `Keeping`."""
        return self.night.keep() if self.night else {}

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> Mean:
        """As `Keeping`; a row's history ends before it, whichever the close."""
        return Mean(with_history(self.fields, self.history, sizes, logs))
