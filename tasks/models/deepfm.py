"""DeepFM: a factorisation machine and a multi-layer perceptron over the same embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import factorised
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, pad_columns


class DeepFM(nn.Module):
    """logit = b + sum w_i + 1/2 sum_d [(sum e)^2 - sum e^2] + MLP([e_1 .. e_m]), the MLP with ReLU and no
    normalisation.

    Each field's row holds its embedding e_i (`width` numbers) and its weight w_i, the last. A numeric column x_k has
    one such row of its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size are tame. Rows
    are drawn from N(0, `scale`^2) with w_i = 0; layers begin Xavier-normal. There is no dropout: a night's pass or
    two over fresh rows does not overfit the layers, and a logit stays a function of weights and row. Source: Guo et
    al. 2017.
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
        check("DeepFM", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.hidden = width, tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, the layers and the bias."""
        sizes = ((len(self.fields) + self.numeric) * self.factor_columns, *self.hidden, 1)
        rows = numeric_rows(self, self.numeric, generator)
        return {"bias": torch.zeros(1), **rows, **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        rows = with_numeric(embedded, numeric, dense)
        first = pad_columns(dense["layers.0.weight"], self.factor_columns)
        return dense["bias"] + factorised(rows) + mlp_forward(rows.flatten(1), dense, first=first)[:, 0]
