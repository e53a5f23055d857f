"""IPNN: a perceptron over the embeddings and the dot products of all their pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward
from nightloop.tasks.plan.search_space import SearchSpace


class IPNN(nn.Module):
    """A multi-layer perceptron over the embeddings and the dot products of all their pairs.

        logit = MLP([e_1 .. e_m ; (e_i . e_j)_{i<j}])

    Pairs are in the order (1, 2), (1, 3) .. (m - 1, m). The perceptron has ReLU between its layers, without
    normalisation. Each field's row is its embedding e_i, drawn from N(0, `scale`^2). A numeric column x has one such
    row of its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more detail
        and needs more rows for each id.
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
    Qu et al. 2016, Product-based neural networks for user response prediction: the inner product layer without its
    factorisation.

    Examples
    --------
    With every weight at 1 and width 1 the perceptron reads 1, 1 and 1 * 1: relu(1 + 1 + 1 + 1) + 1.

    >>> import torch
    >>> from nightloop.tasks.models.ipnn import IPNN
    >>> model = IPNN(fields=("user", "item"), width=1, hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    5.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check_options("IPNN", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.width, self.hidden = width, tuple(hidden)

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        columns = len(self.fields) + self.numeric
        sizes = (columns * self.width + columns * (columns - 1) // 2, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        products = torch.bmm(rows, rows.transpose(1, 2)).unbind(1)
        upper = [row[:, i + 1 :] for i, row in enumerate(products[:-1])]  # one index of all pairs is slower, both ways
        return mlp_forward(torch.cat([rows.flatten(1), *upper], 1), dense)[:, 0]
