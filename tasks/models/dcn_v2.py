"""DCNv2: a perceptron beside cross layers whose weight is a whole matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, xavier


class DCNv2(nn.Module):
    """logit = w . x_L + MLP(x_0), x_0 = [e_1 .. e_m], x_{l+1} = x_0 * (W_l x_l + b_l) + x_l, `cross` layers of it.

    This is the parallel structure with full matrices, the one of the published leaderboards. Each field's row is its
    embedding e_i (`width` numbers, drawn from N(0, `scale`^2)). A numeric column has one such row of its own, times
    sign(x) log(1 + |x|). The perceptron is plain (`tower`): no normalisation, no dropout. Source: Wang et al. 2021,
    equation 1.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        cross: int = 3,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check("DCNv2", numeric, scale, {"width": (width,), "cross": (cross,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.cross, self.hidden = width, cross, tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding."""
        return self.factor_columns

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of the cross layers, of w and of the layers."""
        size = (len(self.fields) + self.numeric) * self.factor_columns
        return {
            **numeric_rows(self, self.numeric, generator),
            **first_layers((size,) * (self.cross + 1), generator, "cross"),
            "cross.output": xavier(1, size, generator)[0],
            **first_layers((size, *self.hidden, 1), generator),
        }

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]."""
        values = with_numeric(embedded, numeric, dense).flatten(1)
        crossed = values
        for layer in range(self.cross):
            weight, bias = dense[f"cross.{layer}.weight"], dense[f"cross.{layer}.bias"]
            crossed = crossed + values * linear(crossed, weight, bias).to(values.dtype)
        return torch.mv(crossed, dense["cross.output"]) + mlp_forward(values, dense)[:, 0]
