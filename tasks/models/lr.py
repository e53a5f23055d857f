"""LR: logistic regression, a weight for every id and every numeric column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import weight_sum


class LR(nn.Module):
    """Logistic regression: the simplest click model, which every other one should beat.

        logit = b + sum w_i

    A field's row is its weight w_i alone. A numeric column x has one weight, multiplied by sign(x) log(1 + |x|), so
    that counts and amounts of any size stay in a small range. All weights begin at zero.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.

    Raises
    ------
    PlanError
        `numeric` is not a whole number from 0.

    References
    ----------
    Richardson et al. 2007, Predicting clicks: estimating the click-through rate for new ads.

    Examples
    --------
    A bias of 0.1 and the weights of one row's user and item: 0.1 + 0.5 - 0.2.

    >>> import torch
    >>> from nightloop.tasks.models.lr import LR
    >>> model = LR(fields=("user", "item"))
    >>> rows = torch.tensor([[[0.5], [-0.2]]])
    >>> logit = model.logits(rows, torch.zeros(1, 0), {"bias": torch.tensor([0.1])})
    >>> print(round(logit.item(), 3))
    0.4
    """

    family: Literal["ranking", "ctr"] = "ctr"
    width = 1

    def __init__(self, fields: Sequence[str], numeric: int = 0) -> None:
        check_options("LR", numeric, 1, {})
        super().__init__()
        self.fields, self.numeric = tuple(fields), numeric

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: zeros [count, 1]."""
        return torch.zeros(count, 1)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the weights of numeric columns and the bias."""
        return {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, 1] and numeric values [n, N]."""
        return dense["bias"] + weight_sum(with_numeric(embedded, numeric, dense))
