"""FM: a factorisation machine, the dot products of all pairs of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import fm_logits
from nightloop.tasks.plan.search_space import SearchSpace


class FM(nn.Module):
    """A factorisation machine: the dot products of all pairs of embeddings.

        logit = b + sum w_i + sum_{i<j} e_i . e_j

    Each field's row holds its embedding e_i, drawn from N(0, `scale`^2), and last its weight w_i, which begins at zero.
    A numeric column x has one such row of its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of
    any size stay in a small range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more detail
        and needs more rows for each id.
    scale : float, default 0.01
        Standard deviation of new embeddings. If it is very small, such as 0.0001, products of embeddings are too small
        to learn from in one epoch; if it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Rendle 2010, Factorization machines.

    Examples
    --------
    With every weight at 1 and width 2: 1 + (1 + 1) + (1 + 1).

    >>> import torch
    >>> from nightloop.tasks.models.fm import FM
    >>> model = FM(fields=("user", "item"), width=2)
    >>> rows = torch.ones(1, 2, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), {"bias": torch.ones(1)}).item())
    5.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(self, fields: Sequence[str], numeric: int = 0, width: int = 10, scale: float = 0.01) -> None:
        check_options("FM", numeric, scale, {"width": (width,)})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width = width, width + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and the bias."""
        return {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        return dense["bias"] + fm_logits(with_numeric(embedded, numeric, dense))
