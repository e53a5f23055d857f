"""MLP: the multi-layer perceptron of the click models, with ReLU between its layers and without normalisation.

Training may drop hidden numbers (`dropout`); otherwise a logit depends only on weights and row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear, pad

from nightloop.tasks.plan.context_value import use_value

_dropping: ContextVar[tuple[float, Generator] | None] = ContextVar("dropping", default=None)
_seen: ContextVar[list[Tensor] | None] = ContextVar("seen", default=None)


def xavier(out: int, into: int, generator: Generator) -> Tensor:
    """First values [out, into] of a layer. Source: Glorot and Bengio 2010, the normal distribution."""
    return torch.randn(out, into, generator=generator).mul_((2 / (into + out)) ** 0.5)


def first_layers(sizes: Sequence[int], generator: Generator, name: str = "layers") -> dict[str, Tensor]:
    """Weights `<name>.<k>.weight` [out, in] and zeros for `<name>.<k>.bias` of layers between these sizes."""
    weights = {}
    for number, (into, out) in enumerate(pairwise(sizes)):
        weights[f"{name}.{number}.weight"] = xavier(out, into, generator)
        weights[f"{name}.{number}.bias"] = torch.zeros(out)
    return weights


def mlp_forward(
    values: Tensor, dense: Mapping[str, Tensor], name: str = "layers", first: Tensor | None = None
) -> Tensor:
    """The last layer's output [n, out] of `values` [n, in]. `first` stands for the weight of layer 0, if given."""
    weight = dense[f"{name}.0.weight"] if first is None else first
    below, values, number = values, linear(values, weight, dense[f"{name}.0.bias"]), 1
    while f"{name}.{number}.weight" in dense:
        below = _drop(values.relu_())
        values = linear(below, dense[f"{name}.{number}.weight"], dense[f"{name}.{number}.bias"])
        number += 1
    if values.shape[1] == 1 and number > 1:
        keep_hidden(below)
    return values


def dropout(rate: float, generator: Generator) -> AbstractContextManager[object]:
    """In this context and on this thread hidden numbers are set to zero with chance `rate`, the others divided by 1 - rate.

    Source: Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """
    return use_value(_dropping, (rate, generator) if rate else None)


def _drop(hidden: Tensor) -> Tensor:
    if (active := _dropping.get()) is None:
        return hidden
    rate, generator = active
    kept = (torch.rand(hidden.shape, generator=generator, device="cpu") >= rate).to(hidden.device)
    return hidden * kept * (1 / (1 - rate))


def keep_hidden(values: Tensor) -> None:
    """Record the input [n, hidden] of the last layer of a tower, if `last_hidden` is active."""
    if (layers := _seen.get()) is not None:
        layers.append(values)


def last_hidden() -> AbstractContextManager[list[Tensor]]:
    """The inputs of the last layers of all towers that are computed in this context, [n, hidden] each.

    Towers on other threads are not recorded.
    """
    return use_value(_seen, [])


def pad_columns(weight: Tensor, factors: int) -> Tensor:
    """A first layer's weight [out, m factors], laid out to read the first `factors` columns of rows that have one more.

    Its product with whole rows equals the product with a copy of those columns, without the copy. The weight is
    [out, m (factors + 1)], with zeros for the last column of each row.
    """
    return pad(weight.view(len(weight), -1, factors), (0, 1)).flatten(1)
