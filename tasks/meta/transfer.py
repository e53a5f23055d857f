"""Transfer: the network of SML. It makes a served row from the row of the period before and the row learned since."""

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
TINY = 1e-12  # keeps a row of zeros from dividing by zero
SMALL = 1e-6  # added to the mean square of a row that is normalised: rows below a thousandth count as zeros


@dataclass(frozen=True)
class Transfer:
    """The network of SML: makes the served rows of a table from yesterday's rows and today's.

    f(w, w^) makes rows [k, d] from yesterday's rows w and today's rows w^, [k, d] each. One f is shared by all rows of
    a table. No gradient flows into w^ through the product of w and w^.

    Parameters
    ----------
    form : {"SML", "SML-CNN", "SML-FC", "average", "mlp"}, default "SML"
        `SML`: the stack [3, d] of w, w^ and their product over |w| goes through `filters` of size 3 x 1 and then 1 x 1,
        each followed by a GELU, then through a hidden layer with a GELU and a linear output. What is named after the
        hyphen is left out: `SML-CNN` has no filters, `SML-FC` no hidden layer, so that every output number is made from
        its own dimension alone. `average`: a w + (1 - a) w^ with one a for each table. `mlp`: a hidden layer over w and
        w^ side by side.
    filters : tuple of two int, default (10, 5)
        Numbers of filters of both convolutions, 1 or more. The values of the authors' code.
    hidden : int, default 512
        Numbers of the hidden layer, 1 or more. The value of the authors' code. Time is nearly proportional to it.
    residual : bool, default False
        True adds w^ to the output, whose last layer then starts at zero: f starts as fine-tuning.
    gated : bool, default False
        Not in the paper. True makes the output a gate g between 0 and 1 for every number, and f = g w + (1 - g) w^. It
        starts at the mean, and cannot make all rows alike, as the free output can.
    normalized : bool, default False
        Not in the paper. True divides each of w, w^ and their product by its root mean square, so that the input of the
        network is not small against its biases.
    share : float or None, default None
        For `average` only: the fixed weight a of w, 0 to 1. None: a is learned, and starts at 0.5.

    Raises
    ------
    PlanError
        An option is out of range, or `share` is given for another form.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method, section 3.2.

    Examples
    --------
    The mean of two rows, and the number of parameters of the published form for a table of 64 columns.

    >>> import torch
    >>> from nightloop.tasks.meta.transfer import Transfer
    >>> Transfer("average", share=0.5)({}, torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[2., 2.]])
    >>> sum(tensor.numel() for tensor in Transfer().parameters(64, torch.Generator().manual_seed(0)).values())
    197279
    """

    form: Form = "SML"
    filters: tuple[int, int] = (10, 5)
    hidden: int = 512
    residual: bool = False
    gated: bool = False
    normalized: bool = False
    share: float | None = None

    def __post_init__(self) -> None:
        for name, size in (*(("filters", size) for size in self.filters), ("hidden", self.hidden)):
            refuse_outside(f"transfer: {name}", size, WIDEST)
        if self.share is not None and not (self.form == "average" and 0 <= self.share <= 1):
            raise PlanError(
                f"transfer: share: given {self.share} for {self.form}; it is w's part of an average, 0 to 1"
            )
        given = [name for name in ("residual", "gated", "normalized") if getattr(self, name)]
        if self.form == "average" and given:
            raise PlanError(f"transfer: {given[0]}: given true for average, which has no network; leave it out")
        if self.residual and self.gated:
            raise PlanError(
                "transfer: given residual and gated; the output is added to w^ or is a gate: give one of them"
            )

    def parameters(self, width: int, generator: Generator) -> dict[str, Tensor]:
        """First values for a table of `width` columns, by name, from the distribution that PyTorch uses for its layers."""
        first, second = self.filters
        features = {"SML": second * width, "SML-CNN": 3 * width, "mlp": 2 * width}
        layers: dict[str, tuple[int, int]] = {}  # name: (out, in)
        if self.form in ("SML", "SML-FC"):
            layers |= {"conv1": (first, 3), "conv2": (second, first)}
        if self.form in features:
            layers |= {"hidden": (self.hidden, features[self.form]), "output": (width, self.hidden)}
        if self.form == "SML-FC":
            layers["output"] = (1, second)
        values: dict[str, Tensor] = {} if layers or self.share is not None else {"balance": torch.zeros(1)}
        for name, (out, into) in layers.items():
            zero = (self.residual or self.gated) and name == "output"
            for part, shape in (("weight", (out, into)), ("bias", (out,))):
                random = (2 * torch.rand(shape, generator=generator) - 1) / sqrt(into)
                values[f"{name}.{part}"] = torch.zeros(shape) if zero else random
        return values

    def __call__(self, parameters: Mapping[str, Tensor], before: Tensor, learned: Tensor, half: bool = False) -> Tensor:
        """f of `before` and `learned`, [k, d] each: [k, d] float32. `half`: the large layers are computed in bfloat16."""
        if self.form == "average":
            balance = torch.sigmoid(parameters["balance"]) if self.share is None else self.share
            mixed: Tensor = balance * before + (1 - balance) * learned
            return mixed
        output = self._network(parameters, before, learned, torch.bfloat16 if half else torch.float32).float()
        if self.gated:
            return torch.lerp(learned, before, torch.sigmoid(output))
        return output + learned if self.residual else output

    def _network(self, p: Mapping[str, Tensor], before: Tensor, learned: Tensor, dtype: torch.dtype) -> Tensor:
        """The layers. GELU(x) is silu(STEEP x) / STEEP.

        The division of each layer is done in the weights of the next one, so that large tensors need no operation of
        their own for it.
        """
        scale = STEEP  # of the input of the next layer, which needs it for its silu
        channels = [before, learned]
        if self.form != "mlp":
            channels.append(before * learned.detach() / before.norm(dim=1, keepdim=True).add(TINY))
        stack = torch.stack(channels)  # [channels, k, d]
        if self.normalized:
            stack = stack * stack.square().mean(2, keepdim=True).add(SMALL).rsqrt()
        if self.form in ("SML-CNN", "mlp"):
            features = stack.transpose(0, 1).flatten(1)
        if self.form in ("SML", "SML-FC"):  # a filter is a product with all rows and dimensions at once
            filtered = silu(torch.addmm(STEEP * p["conv1.bias"][:, None], STEEP * p["conv1.weight"], stack.flatten(1)))
            again = torch.addmm(STEEP * p["conv2.bias"][:, None], p["conv2.weight"], filtered)
            filtered = silu(again)  # [filters, k d]
            if self.form == "SML-FC":
                return torch.addmm(p["output.bias"][:, None], p["output.weight"] / STEEP, filtered).view(before.shape)
            features = filtered.view(-1, *before.shape).transpose(0, 1).flatten(1)  # one filter after the other
            scale = 1.0
        inner = silu(
            linear(features.to(dtype), scale * p["hidden.weight"].to(dtype), STEEP * p["hidden.bias"].to(dtype))
        )
        return linear(inner, p["output.weight"].to(dtype) / STEEP, p["output.bias"].to(dtype))
