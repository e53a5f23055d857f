"""xDeepFM: a linear part, a compressed interaction network and a perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, pad_columns, xavier


class xDeepFM(nn.Module):
    """logit = sum w_i + v . [sum_d X^1 .. sum_d X^K] + MLP([e_1 .. e_m]).

    X^0 [m, d] holds the embeddings, X^k_h = sum_{i,j} W^{k,h}_{ij} X^{k-1}_i * X^0_j, with `cin` rows h in layers 1 .. K;
    there is no activation between them. Each field's row holds its embedding e_i (`width` numbers, drawn from N(0,
    `scale`^2)) and its weight w_i, the last, which begins at nought. A numeric column has one such row of its own, times
    sign(x) log(1 + |x|). The perceptron is plain (`tower`): no normalisation, no dropout. Source: Lian et al. 2018,
    equations 6 and 8.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        cin: Sequence[int] = (16, 16, 16),
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check("xDeepFM", numeric, scale, {"width": (width,), "cin": cin, "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.cin, self.hidden = width, tuple(cin), tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of the interaction network and of the layers."""
        columns = len(self.fields) + self.numeric
        found = numeric_rows(self, self.numeric, generator)
        for place, (below, rows) in enumerate(pairwise((columns, *self.cin))):
            found[f"cin.{place}"] = xavier(rows, below * columns, generator).T.reshape(below, columns, rows)
        found["cin.output"] = xavier(1, sum(self.cin), generator)[0]
        return found | first_layers((columns * self.factor_columns, *self.hidden, 1), generator)

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        first = pad_columns(dense["layers.0.weight"], self.factor_columns)
        deep = mlp_forward(rows.flatten(1), dense, first=first)[:, 0]
        return weight_sum(rows) + self._compressed(rows[:, :, :-1], dense) + deep

    def _compressed(self, embeddings: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """v . [sum_d X^1 .. sum_d X^K] of embeddings [n, m, d]: [n]. Differentiable once.

        Layers are computed for each row and dimension, n d of them. X^k_h = sum_j s_jh X^0_j with s = W' X^{k-1} needs
        no tensor of products. The first layer, of X^0 twice, is x' S x with a symmetric S and slope 2 S x: X^0 on the left
        is held fixed, that on the right counts twice, and one of three large products falls away.
        """
        each = embeddings.transpose(1, 2).flatten(0, 1)  # [n d, m]
        below, found = each, []
        for place in range(len(self.cin)):
            weight, left, right = dense[f"cin.{place}"], below, each  # [below, m, rows]
            if place == 0:
                weight, left = 0.5 * (weight + weight.transpose(0, 1)), each.detach()
                right = 2 * each - left
            slopes = left @ weight.flatten(1)  # [n d, m rows]
            below = (right[:, None] @ slopes.view(len(each), right.shape[1], -1))[:, 0]
            found.append(below)
        summed = torch.cat(found, 1).to(embeddings.dtype) @ dense["cin.output"]
        return summed.view(len(embeddings), -1).sum(1)
