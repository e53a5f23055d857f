"""AFNPlus: crosses of learned order, by way of logarithms, and a perceptron with embeddings of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward

# Of a first value's spread: what is smaller counts as this. Nought has no logarithm, and the slope of log |e| is 1 / e, so
# that with a lower floor (1e-5 of N(0, 0.01), say) a row's smallest number alone says where the whole row goes.
LEAST = 0.5
MEAN, SPREAD = -0.635181, 1.110721  # of log |x|, x from N(0, 1): -(Euler's constant + log 2) / 2 and pi / sqrt(8)


class AFNPlus(nn.Module):
    """logit = MLP([exp(z_1) - 1 .. exp(z_k) - 1]) + MLP([e'_1 .. e'_m]), z = W s(log max(|e|, scale / 2)) + c, `neurons` z
    of `width` numbers each: products of embeddings to learned powers.

    The published model normalises log and exp over the batch. A logit would then depend on the rows beside it, and on
    moments of an older period; here s is the fixed shift and scale that make log |e| of a first value standard (but for
    the floor), and c and the layers learn the rest. Its last layer, which adds up both perceptrons, is part of theirs.
    Each field's row holds e_i and, after it, e'_i (`width` numbers each, drawn from N(0, `scale`^2)). A numeric column
    has one such row of its own, times sign(x) log(1 + |x|). The perceptrons are plain (`tower`): `cross` over the
    logarithms, `hidden` over the embeddings. Source: Cheng et al. 2020.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        neurons: int = 200,
        cross: Sequence[int] = (400, 400, 400),
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.1,
    ) -> None:
        check("AFNPlus", numeric, scale, {"width": (width,), "neurons": (neurons,), "cross": cross, "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.neurons = width, neurons
        self.cross, self.hidden = tuple(cross), tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: both embeddings."""
        return 2 * self.factor_columns

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, 2 width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of the logarithmic neurons and of both perceptrons."""
        columns, width = len(self.fields) + self.numeric, self.factor_columns
        return {
            **numeric_rows(self, self.numeric, generator),
            **first_layers((columns, self.neurons), generator, "powers"),
            **first_layers((width * self.neurons, *self.cross, 1), generator, "cross"),
            **first_layers((columns * width, *self.hidden, 1), generator),
        }

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, 2 width] and numeric values [n, N]."""
        rows, width = with_numeric(embedded, numeric, dense), self.factor_columns
        deep = mlp_forward(rows[:, :, width:].flatten(1), dense)[:, 0]
        powers = mlp_forward(self._logarithms(rows[:, :, :width]), dense, "powers").to(rows.dtype)
        bias = dense["cross.0.bias"] - dense["cross.0.weight"].sum(1)  # the one is taken off every power here
        crosses = mlp_forward(powers.exp().view(len(rows), -1), {**dense, "cross.0.bias": bias}, "cross")
        return crosses[:, 0] + deep

    def _logarithms(self, embeddings: Tensor) -> Tensor:
        """Standard logarithms [n d, m] of embeddings [n, m, d]."""
        logs = embeddings.transpose(1, 2).flatten(0, 1).abs().clamp_(min=LEAST * self.scale).log()
        return (logs - (log(self.scale) + MEAN)) / SPREAD
