"""FM: a factorisation machine, the dot products of all pairs of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.fm_terms import factorised


class FM(nn.Module):
    """logit = b + sum w_i + sum_{i<j} e_i . e_j.

    Each field's row holds its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)) and its weight w_i, the last,
    which begins at nought. A numeric column has one such row of its own, times sign(x) log(1 + |x|). Source: Rendle
    2010.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(self, fields: Sequence[str], numeric: int = 0, width: int = 10, scale: float = 0.01) -> None:
        check("FM", numeric, scale, {"width": (width,)})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns = width

    @property
    def width(self) -> int:
        """Columns of every table: the embedding and the weight."""
        return self.factor_columns + 1

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width + 1]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and the bias."""
        return {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width + 1] and numeric values [n, N]. Differentiable once."""
        return dense["bias"] + factorised(with_numeric(embedded, numeric, dense))
