"""FmFM: a factorisation machine with a matrix between the two embeddings of every pair of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace


class FmFM(nn.Module):
    """A factorisation machine with a matrix between the two embeddings of every pair of fields.

        logit = b + sum w_i + sum_{i<j} e_i' M_ij e_j

    All M_ij begin as the identity, so that the model begins as FM. Each field's row holds its embedding e_i, drawn from
    N(0, `scale`^2), and last its weight w_i, which begins at zero. A numeric column x has one such row of its own,
    multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more detail
        and needs more rows for each id. A full matrix has `width`^2 numbers for each pair of columns.
    interaction : {"matrix", "vector"}, default "matrix"
        "matrix": M_ij is a full matrix. "vector": it is diagonal, which has fewer weights to learn.
    scale : float, default 0.01
        Standard deviation of new embeddings. If it is very small, such as 0.0001, products of embeddings are too small
        to learn from in one epoch; if it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Sun et al. 2021, FM2: field-matrixed factorization machines for recommender systems, section 3.

    Examples
    --------
    With every weight at 1 and width 2: 1 + (1 + 1) + 4, the sum of the four products that a matrix of ones makes.

    >>> import torch
    >>> from nightloop.tasks.models.fmfm import FmFM
    >>> model = FmFM(fields=("user", "item"), width=2)
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    7.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        interaction: Literal["matrix", "vector"] = "matrix",
        scale: float = 0.01,
    ) -> None:
        check_options("FmFM", numeric, scale, {"width": (width,)})
        if interaction not in ("matrix", "vector"):
            raise PlanError(f"FmFM: interaction: given {interaction!r}; allowed are matrix, vector")
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width, self.interaction = width, width + 1, interaction

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, the bias and the matrices (or their diagonals) of all pairs."""
        columns, width = len(self.fields) + self.numeric, self.factor_columns
        between = torch.eye(width) if self.interaction == "matrix" else torch.ones(width)
        pairs = between.repeat(columns * (columns - 1) // 2, *[1] * between.dim())
        return {"bias": torch.zeros(1), "pairs": pairs, **numeric_rows(self, self.numeric, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        rows = with_numeric(embedded, numeric, dense)
        between = dense["pairs"] if self.interaction == "matrix" else torch.diag_embed(dense["pairs"])
        return dense["bias"] + _joined(rows, between)


def _joined(rows: Tensor, between: Tensor) -> Tensor:
    """sum w_i + sum_{i<j} e_i' M_ij e_j of rows [n, m, d + 1] and M [pairs, d, d]: [n].

    With all M_ij and their transposes in one symmetric matrix S the sum of products is 1/2 E' S E; its slope is S E, that
    of a weight is 1. Autograd is given the slope times E for E, and E' S E for S: two large products instead of three.
    """
    columns, wide, d = rows.shape[1], rows.shape[2], between.shape[1]
    left, right = torch.triu_indices(columns, columns, 1)
    upper = between.new_zeros(columns, columns, wide, wide)
    upper[left, right, :d, :d] = between
    whole = upper.transpose(1, 2).flatten(2).flatten(0, 1)  # [m wide, m wide]
    of_weights = torch.zeros(columns, wide, dtype=rows.dtype)
    of_weights[:, -1] = 1
    flat = rows.flatten(1)
    fixed = flat.detach()
    slope = linear(fixed, whole + whole.T, of_weights.flatten()).to(flat.dtype)
    of_rows = (flat * slope.detach()).sum(1)  # twice the products, and the weights
    return 0.5 * ((fixed * slope).sum(1) + rows.detach()[:, :, -1].sum(1)) + of_rows - of_rows.detach()
