"""xDeepFM: a linear part, a compressed interaction network and a perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, pad_columns, xavier
from nightloop.tasks.plan.search_space import SearchSpace


class xDeepFM(nn.Module):
    """A linear part, a compressed interaction network (CIN) and a multi-layer perceptron.

        logit = sum w_i + v . [sum_d X^1 .. sum_d X^K] + MLP([e_1 .. e_m])
        X^k_h = sum_{i,j} W^{k,h}_{ij} X^{k-1}_i * X^0_j

    X^0 [m, d] holds the embeddings; layer k = 1 .. K has `cin[k - 1]` rows h, and there is no activation between the
    layers. The perceptron has ReLU between its layers, without normalisation. Each field's row holds its embedding e_i,
    drawn from N(0, `scale`^2), and last its weight w_i, which begins at zero. A numeric column x has one such row of
    its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers d in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more
        detail and needs more rows for each id.
    cin : sequence of int, default (16, 16, 16)
        Rows of each layer of the interaction network. More layers give products of more columns, more rows give more
        such products; both take more time a row.
    hidden : sequence of int, default (400, 400, 400)
        Units of each hidden layer, first to last. The default is that of the BARS benchmark. Larger layers fit more
        complex effects and take more time a row.
    scale : float, default 0.01
        Standard deviation of new embeddings. If it is very small, such as 0.0001, products of embeddings are too small
        to learn from in one epoch; if it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Lian et al. 2018, xDeepFM: combining explicit and implicit feature interactions for recommender systems, equations 6
    and 8.

    Examples
    --------
    With every weight at 1 and width 1: 1 + 1 from the linear part, 4 from the four products of the interaction network,
    and relu(1 + 1 + 1) + 1 from the perceptron.

    >>> import torch
    >>> from nightloop.tasks.models.xdeepfm import xDeepFM
    >>> model = xDeepFM(fields=("user", "item"), width=1, cin=(1,), hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    10.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        cin: Sequence[int] = (16, 16, 16),
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check_options("xDeepFM", numeric, scale, {"width": (width,), "cin": cin, "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width, self.cin, self.hidden = width, width + 1, tuple(cin), tuple(hidden)

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
