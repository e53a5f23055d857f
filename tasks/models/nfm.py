"""NFM: a factorisation machine whose products of pairs go through a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import pairwise_sum
from nightloop.tasks.layers.mlp import first_layers, mlp_forward
from nightloop.tasks.plan.search_space import SearchSpace


class NFM(nn.Module):
    """A factorisation machine whose products of pairs go through a multi-layer perceptron.

        logit = sum w_i + MLP(`gain` / 2 [(sum e)^2 - sum e^2])

    The perceptron reads the vector of products of all pairs before it is summed. It has ReLU between its layers,
    without normalisation. Each field's row holds its embedding e_i, drawn from N(0, `scale`^2), and last its weight
    w_i, which begins at zero. A numeric column x has one such row of its own, multiplied by sign(x) log(1 + |x|), so
    that counts and amounts of any size stay in a small range.

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
        Standard deviation of new embeddings. The larger it is, the larger are the products that the perceptron reads,
        and the random scores of ids without data.
    gain : float, default 20.0
        Factor on the vector of products. Products of small numbers are smaller still, and a perceptron learns little
        from inputs near zero. `gain` does for all rows what the authors' batch normalisation does for a batch, so that
        a logit stays a function of weights and row.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    He and Chua 2017, Neural factorization machines for sparse predictive analytics.

    Examples
    --------
    With every weight at 1 and width 1: 1 + 1 from the weights and relu(20 * 1 * 1 + 1) + 1 from the perceptron.

    >>> import torch
    >>> from nightloop.tasks.models.nfm import NFM
    >>> model = NFM(fields=("user", "item"), width=1, hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    24.0
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
        gain: float = 20.0,
    ) -> None:
        check_options("NFM", numeric, scale, {"width": (width,), "hidden": hidden}, {"gain": gain})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width, self.hidden, self.gain = width, width + 1, tuple(hidden), float(gain)

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
