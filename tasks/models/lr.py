"""LR: logistic regression, a weight for every id and every numeric column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum


class LR(nn.Module):
    """logit = b + sum w_i: the floor that every other click model stands on.

    A field's row is its weight w_i alone; a numeric column x_k has one weight, times sign(x) log(1 + |x|). All begin at
    nought. Source: Richardson et al. 2007.
    """

    family: Literal["ranking", "ctr"] = "ctr"
    width = 1

    def __init__(self, fields: Sequence[str], numeric: int = 0) -> None:
        check("LR", numeric, 1, {})
        super().__init__()
        self.fields, self.numeric = tuple(fields), numeric

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, 1] noughts."""
        return torch.zeros(count, 1)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the weights of numeric columns and the bias."""
        return {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, 1] and numeric values [n, N]."""
        return dense["bias"] + weight_sum(with_numeric(embedded, numeric, dense))
