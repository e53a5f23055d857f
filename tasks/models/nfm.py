"""NFM: a factorisation machine whose products of pairs go through a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import pairwise_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward


class NFM(nn.Module):
    """logit = sum w_i + MLP(`gain` / 2 [(sum e)^2 - sum e^2]), the vector of products of all pairs, before it is summed.

    Each field's row holds its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)) and its weight w_i, the last,
    which begins at nought. A numeric column has one such row of its own, times sign(x) log(1 + |x|). Products of small
    numbers are smaller still, and a perceptron that sees next to nothing learns next to nothing: `gain` does for all rows
    what the authors' batch normalisation does for a batch, so that a logit stays a function of weights and row. The
    perceptron is plain (`tower`): no normalisation, no dropout. Source: He and Chua 2017.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
        gain: float = 20.0,
    ) -> None:
        check("NFM", numeric, scale, {"width": (width,), "hidden": hidden}, {"gain": gain})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.hidden, self.gain = width, tuple(hidden), float(gain)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        sizes = (self.factor_columns, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        found = pairwise_sum(with_numeric(embedded, numeric, dense))
        return found[:, -1] + mlp_forward(self.gain * found[:, :-1], dense)[:, 0]
