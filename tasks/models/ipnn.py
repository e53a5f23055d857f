"""IPNN: a perceptron over the embeddings and the dot products of all their pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from tasks.models.inputs import check, first_rows, numeric_rows, with_numeric
from tasks.models.tower import climb, first_layers


class IPNN(nn.Module):
    """logit = MLP([e_1 .. e_m ; (e_i . e_j)_{i<j}]), pairs in the order (1, 2), (1, 3) .. (m - 1, m).

    Each field's row is its embedding e_i (`width` numbers, drawn from N(0, `scale`^2)). A numeric column has one such
    row of its own, times sign(x) log(1 + |x|). The perceptron is plain (`tower`): no normalisation, no dropout. Source:
    Qu et al. 2016, the inner product layer without its factorisation.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.01,
    ) -> None:
        check("IPNN", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.hidden = width, tuple(hidden)

    @property
    def width(self) -> int:
        """Columns of every table: the embedding."""
        return self.factor_columns

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        columns = len(self.fields) + self.numeric
        sizes = (columns * self.factor_columns + columns * (columns - 1) // 2, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]. Differentiable once."""
        rows = with_numeric(embedded, numeric, dense)
        return climb(_WithProducts.apply(rows), dense)[:, 0]  # type: ignore[no-untyped-call]


class _WithProducts(torch.autograd.Function):
    """Rows e [n, m, d] as [n, m d], and after them e_i . e_j of all pairs i < j, [n, m d + m (m - 1) / 2].

    All products are made by one batched product, of which the upper triangle is copied row by row. The slope of e is S e,
    S the symmetric matrix of the products' slopes: written out, as autograd would add up numbers one by one.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        n, m, d = rows.shape
        products = torch.bmm(rows, rows.transpose(1, 2))
        found = rows.new_empty(n, m * d + m * (m - 1) // 2)
        found[:, : m * d] = rows.flatten(1)
        for i, part in enumerate(_upper(found, m, d)):
            part.copy_(products[:, i, i + 1 :])
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        n, m, d = rows.shape
        of_products = rows.new_empty(n, m, m)
        of_products.diagonal(dim1=1, dim2=2).zero_()
        for i, part in enumerate(_upper(slope, m, d)):
            of_products[:, i, i + 1 :] = of_products[:, i + 1 :, i] = part
        return torch.baddbmm(slope[:, : m * d].view(n, m, d), of_products, rows)


def _upper(found: Tensor, m: int, d: int) -> Iterator[Tensor]:
    """Where the products of each row but the last lie."""
    end = m * d
    for i in range(m - 1):
        start, end = end, end + m - 1 - i
        yield found[:, start:end]
