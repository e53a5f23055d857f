"""FinalMLP: two perceptrons over embeddings that each weighs in its own way, joined by a bilinear product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward, show_hidden, xavier
from nightloop.tasks.plan.errors import PlanError

NAMES = ("left", "right")  # of the perceptrons' weights


class FinalMLP(nn.Module):
    """logit = b + w_1 . o_1 + w_2 . o_2 + sum_k o_1k' W_k o_2k, o_1 and o_2 cut into `heads` parts o_1k, o_2k.

    o_t = ReLU(MLP_t(g_t * [e_1 .. e_m])) by `towers`, with gates g_t = 2 sigmoid(c_t + C_t [e_i of contexts[t]]), a
    number for each of an embedding's. Without a context g_t is the same for all rows, and costs them nothing. The published
    gate has a hidden layer and embeddings of its own; this one is linear in the shared ones. Each field's row is its
    embedding e_i (`width` numbers, drawn from N(0, `scale`^2)). A numeric column has one such row of its own, times
    sign(x) log(1 + |x|). The perceptrons are plain (`tower`): no normalisation, no dropout. Source: Mao et al. 2023.
    """

    family: Literal["ranking", "ctr"] = "ctr"

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        towers: Sequence[Sequence[int]] = ((400, 400, 400), (400, 400, 400)),
        contexts: Sequence[Sequence[str]] = ((), ()),
        heads: int = 1,
        scale: float = 0.01,
    ) -> None:
        layers = [size for tower in towers for size in tower]
        check("FinalMLP", numeric, scale, {"width": (width,), "towers": layers, "heads": (heads,)})
        if len(towers) != 2 or any(not tower or tower[-1] % heads for tower in towers):
            raise PlanError(
                f"FinalMLP: towers: given {towers!r}; two lists, the last of each a multiple of heads {heads}"
            )
        unknown = [field for context in contexts for field in context if field not in fields]
        if len(contexts) != 2 or unknown:
            raise PlanError(f"FinalMLP: contexts: given {contexts!r}; two lists of fields from {', '.join(fields)}")
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.towers, self.heads = width, tuple(map(tuple, towers)), heads
        self.places = [[self.fields.index(field) for field in context] for context in contexts]

    @property
    def width(self) -> int:
        """Columns of every table: the embedding."""
        return self.factor_columns

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.factor_columns, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of gates and layers by perceptron, and of the join."""
        size = (len(self.fields) + self.numeric) * self.factor_columns
        found = {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}
        for name, layers, places in zip(NAMES, self.towers, self.places, strict=True):
            found |= first_layers((size, *layers), generator, name)
            found[f"{name}.gate.bias"] = torch.zeros(size)
            if places:
                found[f"{name}.gate.weight"] = xavier(size, len(places) * self.factor_columns, generator)
            found[f"{name}.output"] = xavier(1, layers[-1], generator)[0]
        left, right = (layers[-1] // self.heads for layers in self.towers)
        found["products"] = torch.stack([xavier(left, right, generator) for _ in range(self.heads)])
        return found

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        (left, one), (right, two) = (
            self._tower(rows, places, name, dense) for name, places in zip(NAMES, self.places, strict=True)
        )
        products = torch.bmm(self._by_head(left), dense["products"])
        joined = (products * self._by_head(right)).to(rows.dtype).sum((0, 2))
        return dense["bias"] + one + two + joined

    def _tower(
        self, rows: Tensor, places: Sequence[int], name: str, dense: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """o_t [n, h] and w_t . o_t [n]. A gate that is the same for all rows is put on the first layer's weight."""
        weight, bias, flat = dense[f"{name}.0.weight"], dense[f"{name}.gate.bias"], rows.flatten(1)
        if places:
            gate = linear(rows[:, places].flatten(1), dense[f"{name}.gate.weight"], bias).to(flat.dtype)
            flat = flat * gate.sigmoid() * 2
        else:
            weight = weight * bias.sigmoid() * 2
        found = mlp_forward(flat, dense, name, weight).relu_()
        show_hidden(found)
        return found, linear(found, dense[f"{name}.output"][None])[:, 0]

    def _by_head(self, values: Tensor) -> Tensor:
        """[n, heads k] as [heads, n, k]."""
        return values.view(len(values), self.heads, -1).transpose(0, 1)
