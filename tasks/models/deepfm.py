"""DeepFM: a factorisation machine and a multi-layer perceptron over the same embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear, pad


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
        wrong = [f"{n}: given {v!r}; whole numbers from 1" for n, v in _sizes(width, hidden) if not _whole(v, 1)]
        if not (isinstance(scale, int | float) and 0 < scale < inf):
            wrong.append(f"scale: given {scale!r}; numbers above 0")
        if not _whole(numeric, 0):
            wrong.append(f"numeric: given {numeric!r}; how many numeric columns there are")
        if wrong:
            raise ValueError("DeepFM: " + "; ".join(wrong))
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.hidden = width, tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        rows = torch.randn(count, self.width, generator=generator).mul_(self.scale)
        rows[:, -1] = 0
        return rows

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, the layers and the bias."""
        found = {"bias": torch.zeros(1)}
        if self.numeric:
            found["numeric"] = self.new_rows("", self.numeric, generator)
        sizes = ((len(self.fields) + self.numeric) * self.factor_columns, *self.hidden, 1)
        for place, (into, out) in enumerate(pairwise(sizes)):
            spread = (2 / (into + out)) ** 0.5
            found[f"layers.{place}.weight"] = torch.randn(out, into, generator=generator).mul_(spread)
            found[f"layers.{place}.bias"] = torch.zeros(out)
        return found

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        if self.numeric:
            tame = numeric.sign() * numeric.abs().log1p()
            embedded = torch.cat([embedded, tame[:, :, None] * dense["numeric"]], 1)
        return dense["bias"] + _factorised(embedded) + self._deep(embedded.flatten(1), dense)

    def _deep(self, values: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """The perceptron's output [n] from flat rows [n, m (width + 1)], whose weights it does not read."""
        weight = dense["layers.0.weight"]
        weight = pad(weight.view(len(weight), -1, self.factor_columns), (0, 1)).flatten(1)
        values = linear(values, weight, dense["layers.0.bias"])
        for place in range(1, len(self.hidden) + 1):
            values = linear(values.relu(), dense[f"layers.{place}.weight"], dense[f"layers.{place}.bias"])
        return values[:, 0]


def _factorised(embedded: Tensor) -> Tensor:
    """sum w_i + 1/2 sum_d [(sum e)^2 - sum e^2] of rows [n, m, width + 1]: [n].

    The slope of this is (sum e) - e_i for an embedding and 1 for a weight, and slope times rows is the first sum plus
    twice the second. Autograd is given that product, which takes half the memory traffic of the formula as it stands.
    """
    rows = embedded.detach()
    total = rows.sum(1)
    slope = total[:, None] - rows
    slope[:, :, -1] = 1
    product = (embedded * slope).flatten(1).sum(1)  # no vecdot: autocast would round it to bfloat16
    return product - 0.5 * (product.detach() - total[:, -1])


def _sizes(width: int, hidden: Sequence[int]) -> list[tuple[str, int]]:
    return [("width", width), *(("hidden", size) for size in hidden)]


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
