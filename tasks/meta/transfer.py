"""Transfer: the network of SML that makes a row to be served of yesterday's row and of the one learned today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear, silu

from nightloop.tasks.plan.bounds import WIDEST, refuse_outside
from nightloop.tasks.plan.errors import PlanError

Form = Literal["SML", "SML-CNN", "SML-FC", "average", "mlp"]

STEEP = 1.702  # of the paper's GELU, x sigmoid(1.702 x) = silu(1.702 x) / 1.702
TINY = 1e-12  # a row of noughts has no length to divide by


@dataclass(frozen=True)
class Transfer:
    """f(w, w^): rows [k, d] of yesterday's weights w and of today's w^ to rows [k, d], the same for a whole table.

    Form `SML`: the stack of w, w^ and their product over |w| [3, d] goes through `filters` of size 3 x 1 and then 1 x 1,
    each a GELU, a hidden layer of `hidden` numbers, GELU, and a linear output. What is named after a hyphen is left out:
    `SML-CNN` has no filters, `SML-FC` no hidden layer, so that every dimension is made of its own features alone. Form
    `average` is a w + (1 - a) w^ with one a for a table, learned, or fixed at `share`; `mlp` sees w and w^ side by side.
    `residual` adds w^ to the output, whose last layer then begins at nought: it begins as fine-tuning. No gradient flows
    into w^ through the product. Source: SML (Zhang et al. 2020), section 3.2; numbers are those of its code.
    """

    form: Form = "SML"
    filters: tuple[int, int] = (10, 5)
    hidden: int = 512
    residual: bool = False
    share: float | None = None

    def __post_init__(self) -> None:
        for name, size in (*(("filters", size) for size in self.filters), ("hidden", self.hidden)):
            refuse_outside(f"transfer: {name}", size, WIDEST)
        if self.share is not None and not (self.form == "average" and 0 <= self.share <= 1):
            raise PlanError(
                f"transfer: share: given {self.share} for {self.form}; it is w's part of an average, 0 to 1"
            )

    def parameters(self, width: int, generator: Generator) -> dict[str, Tensor]:
        """First values for a table of `width` columns, drawn as PyTorch draws those of its layers."""
        first, second = self.filters
        features = {"SML": second * width, "SML-CNN": 3 * width, "mlp": 2 * width}
        layers: dict[str, tuple[int, int]] = {}  # name: (out, in)
        if self.form in ("SML", "SML-FC"):
            layers |= {"conv1": (first, 3), "conv2": (second, first)}
        if self.form in features:
            layers |= {"hidden": (self.hidden, features[self.form]), "output": (width, self.hidden)}
        if self.form == "SML-FC":
            layers["output"] = (1, second)
        found: dict[str, Tensor] = {} if layers or self.share is not None else {"balance": torch.zeros(1)}
        for name, (out, into) in layers.items():
            nought = self.residual and name == "output"
            for part, shape in (("weight", (out, into)), ("bias", (out,))):
                drawn = (2 * torch.rand(shape, generator=generator) - 1) / sqrt(into)
                found[f"{name}.{part}"] = torch.zeros(shape) if nought else drawn
        return found

    def __call__(self, parameters: Mapping[str, Tensor], before: Tensor, learned: Tensor, half: bool = False) -> Tensor:
        """f of `before` and `learned`, [k, d] each: [k, d] float32. `half`: the large layers are computed in bfloat16."""
        if self.form == "average":
            balance = torch.sigmoid(parameters["balance"]) if self.share is None else self.share
            mixed: Tensor = balance * before + (1 - balance) * learned
            return mixed
        made = self._network(parameters, before, learned, torch.bfloat16 if half else torch.float32).float()
        return made + learned if self.residual else made

    def _network(self, p: Mapping[str, Tensor], before: Tensor, learned: Tensor, kind: torch.dtype) -> Tensor:
        """The layers. GELU(x) is silu(STEEP x) / STEEP: every layer's division is left to the next, whose input it is,
        so that the large tensors are multiplied by nothing but weights."""
        scale = STEEP  # of what the next layer is given, which wants it for its own silu
        if self.form == "mlp":
            features = torch.cat([before, learned], 1)
        else:
            length = before.norm(dim=1, keepdim=True).add(TINY)
            stack = torch.stack([before, learned, before * learned.detach() / length])  # [3, k, d]
        if self.form == "SML-CNN":
            features = stack.transpose(0, 1).flatten(1)
        if self.form in ("SML", "SML-FC"):  # a filter is a product with all rows and dimensions in one line
            kept = silu(torch.addmm(STEEP * p["conv1.bias"][:, None], STEEP * p["conv1.weight"], stack.flatten(1)))
            kept = silu(torch.addmm(STEEP * p["conv2.bias"][:, None], p["conv2.weight"], kept))  # [filters, k d]
            if self.form == "SML-FC":
                return torch.addmm(p["output.bias"][:, None], p["output.weight"] / STEEP, kept).view(before.shape)
            features, scale = kept.view(-1, *before.shape).transpose(0, 1).flatten(1), 1.0  # one filter after the other
        inner = silu(linear(features.to(kind), scale * p["hidden.weight"].to(kind), STEEP * p["hidden.bias"].to(kind)))
        return linear(inner, p["output.weight"].to(kind) / STEEP, p["output.bias"].to(kind))
