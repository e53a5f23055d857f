"""IPNN: a perceptron over the embeddings and the dot products of all their pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward


class IPNN(nn.Module):
    """logit = MLP([e_1 .. e_m ; (e_i . e_j)_{i<j}]), pairs in the order (1, 2), (1, 3) .. (m - 1, m).

    Each field's row is its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)). A numeric column has one such
    row of its own, times sign(x) log(1 + |x|). The perceptron is plain (`tower`): no normalisation, no dropout. Source:
    Qu et al. 2016, the inner product layer without its factorisation.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check("IPNN", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.hidden = width, tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding."""
        return self.factor_columns

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        columns = len(self.fields) + self.numeric
        sizes = (columns * self.factor_columns + columns * (columns - 1) // 2, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        products = torch.bmm(rows, rows.transpose(1, 2)).unbind(1)
        upper = [row[:, i + 1 :] for i, row in enumerate(products[:-1])]  # one index of all pairs is slower, both ways
        return mlp_forward(torch.cat([rows.flatten(1), *upper], 1), dense)[:, 0]
