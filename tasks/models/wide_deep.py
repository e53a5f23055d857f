"""WideDeep: a wide linear part and a deep perceptron, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, pad_columns


class WideDeep(nn.Module):
    """logit = sum w_i + MLP([e_1 .. e_m]). Crosses made by hand belong in the data, as columns of their own.

    Each field's row holds its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)) and its weight w_i, the last,
    which begins at nought. A numeric column has one such row of its own, times sign(x) log(1 + |x|). The perceptron is
    plain (`tower`): no normalisation, no dropout. Source: Cheng et al. 2016.
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
        check("WideDeep", numeric, scale, {"width": (width,), "hidden": hidden})
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
        """First values of the rows of numeric columns and of the layers."""
        sizes = ((len(self.fields) + self.numeric) * self.factor_columns, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        first = pad_columns(dense["layers.0.weight"], self.factor_columns)
        return weight_sum(rows) + mlp_forward(rows.flatten(1), dense, first=first)[:, 0]
