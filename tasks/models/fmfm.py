"""FmFM: a factorisation machine with a matrix between the two embeddings of every pair of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.plan.errors import PlanError


class FmFM(nn.Module):
    """logit = b + sum w_i + sum_{i<j} e_i' M_ij e_j.

    `interaction` "matrix": M_ij is a full matrix; "vector": a diagonal one. All begin as the identity, so that the model
    begins as FM. Each field's row holds its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)) and its weight
    w_i, the last, which begins at nought. A numeric column has one such row of its own, times sign(x) log(1 + |x|).
    Source: Sun et al. 2021, section 3.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        interaction: Literal["matrix", "vector"] = "matrix",
        scale: float = 0.01,
    ) -> None:
        check("FmFM", numeric, scale, {"width": (width,)})
        if interaction not in ("matrix", "vector"):
            raise PlanError(f"FmFM: interaction: given {interaction!r}; allowed are matrix, vector")
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.interaction = width, interaction

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

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
