"""WideDeep: a linear part and a deep perceptron, added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, pad_columns
from nightloop.tasks.plan.search_space import SearchSpace


class WideDeep(nn.Module):
    """A linear part and a multi-layer perceptron, added.

        logit = sum w_i + MLP([e_1 .. e_m])

    The published model also has products of columns that are chosen by hand; add them to the data as columns of their
    own. The perceptron has ReLU between its layers, without normalisation. Each field's row holds its embedding e_i,
    drawn from N(0, `scale`^2), and last its weight w_i, which begins at zero. A numeric column x has one such row of
    its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range.

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
        Standard deviation of new embeddings. If it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Cheng et al. 2016, Wide & deep learning for recommender systems.

    Examples
    --------
    With every weight at 1 and width 1: 1 + 1 from the linear part and relu(1 + 1 + 1) + 1 from the perceptron.

    >>> import torch
    >>> from nightloop.tasks.models.wide_deep import WideDeep
    >>> model = WideDeep(fields=("user", "item"), width=1, hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    6.0
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
        check_options("WideDeep", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width, self.hidden = width, width + 1, tuple(hidden)

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
