"""DCNv2: a perceptron beside cross layers whose weight is a full matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, xavier
from nightloop.tasks.plan.search_space import SearchSpace


class DCNv2(nn.Module):
    """A multi-layer perceptron beside cross layers whose weight is a full matrix.

        logit = w . x_L + MLP(x_0)    x_0 = [e_1 .. e_m]    x_{l+1} = x_0 * (W_l x_l + b_l) + x_l

    This is the parallel structure with full matrices, the one of the published leaderboards. The perceptron has ReLU
    between its layers, without normalisation. Each field's row is its embedding e_i, drawn from N(0, `scale`^2). A
    numeric column x has one such row of its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any
    size stay in a small range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more detail
        and needs more rows for each id. A cross layer has (columns * `width`)^2 weights.
    cross : int, default 3
        Number L of cross layers. With L layers a logit has products of up to L + 1 columns.
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
    Wang et al. 2021, DCN V2: improved deep & cross network and practical lessons for web-scale learning to rank
    systems, equation 1.

    Examples
    --------
    With every weight at 1 and width 1: x_1 = 1 * (1 + 1 + 1) + 1 = 4 in both places, w . x_1 = 8, and the perceptron
    gives relu(1 + 1 + 1) + 1 = 4.

    >>> import torch
    >>> from nightloop.tasks.models.dcn_v2 import DCNv2
    >>> model = DCNv2(fields=("user", "item"), width=1, cross=1, hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    12.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        cross: int = 3,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check_options("DCNv2", numeric, scale, {"width": (width,), "cross": (cross,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.width, self.cross, self.hidden = width, cross, tuple(hidden)

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of the cross layers, of w and of the layers."""
        size = (len(self.fields) + self.numeric) * self.width
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
