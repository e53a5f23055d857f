"""Tower: the multi-layer perceptron of the click models, ReLU between its layers and no normalisation.

There is no dropout either: a night's pass or two over fresh rows does not overfit the layers, and a logit stays a
function of weights and row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear, pad

_seen: ContextVar[list[Tensor] | None] = ContextVar("seen", default=None)


def xavier(out: int, into: int, generator: Generator) -> Tensor:
    """First values [out, into] of a layer. Source: Glorot and Bengio 2010, the normal distribution."""
    return torch.randn(out, into, generator=generator).mul_((2 / (into + out)) ** 0.5)


def first_layers(sizes: Sequence[int], generator: Generator, name: str = "layers") -> dict[str, Tensor]:
    """Weights `<name>.<k>.weight` [out, in] and noughts for `<name>.<k>.bias` of layers between these sizes."""
    found = {}
    for place, (into, out) in enumerate(pairwise(sizes)):
        found[f"{name}.{place}.weight"] = xavier(out, into, generator)
        found[f"{name}.{place}.bias"] = torch.zeros(out)
    return found


def mlp_forward(
    values: Tensor, dense: Mapping[str, Tensor], name: str = "layers", first: Tensor | None = None
) -> Tensor:
    """The last layer's output [n, out] of `values` [n, in]. `first` stands for the weight of layer 0, if given."""
    weight = dense[f"{name}.0.weight"] if first is None else first
    below, values, place = values, linear(values, weight, dense[f"{name}.0.bias"]), 1
    while f"{name}.{place}.weight" in dense:
        below = values.relu_()
        values = linear(below, dense[f"{name}.{place}.weight"], dense[f"{name}.{place}.bias"])
        place += 1
    if values.shape[1] == 1 and place > 1:
        keep_hidden(below)
    return values


def keep_hidden(values: Tensor) -> None:
    """Show what the last layer of a tower reads [n, hidden] to whoever looks (`last_hidden`)."""
    if (seen := _seen.get()) is not None:
        seen.append(values)


@contextmanager
def last_hidden() -> Iterator[list[Tensor]]:
    """What the last layers of towers read, [n, hidden] each, of the towers that are climbed meanwhile.

    Other threads are not listened to.
    """
    seen: list[Tensor] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def pad_columns(weight: Tensor, factors: int) -> Tensor:
    """A first layer's weight [out, m factors], laid out to read the first `factors` columns of rows that have one more.

    Its product with whole rows is that with a copy of those columns, without the copy: [out, m (factors + 1)], noughts
    for the last column of each.
    """
    return pad(weight.view(len(weight), -1, factors), (0, 1)).flatten(1)
