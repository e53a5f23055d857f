"""GRU: one small recurrent network a column, as ASMG has it, forwards and backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor


class Trace(NamedTuple):
    """What one step of n networks on R rows was made of: all that its slope needs."""

    seen: Tensor  # [n, h + 1, R] state and value
    both: Tensor  # [n, 2 h, R] z and r
    reset: Tensor  # [n, h + 1, R] r times state, and value
    candidate: Tensor  # [n, h, R]
    state: Tensor  # [n, h, R] the new one


def first_values(columns: int, hidden: int, rng: torch.Generator) -> dict[str, Tensor]:
    """`gates` [n, 3 h, h + 1] of z, r and g, `weight` [n, 1, h], `bias` [n, 1, 1] of the output.

    As TensorFlow draws them (Glorot uniform): the first of three dimensions counts as a receptive field.
    """
    state = [_glorot(columns, hidden, hidden, rng) for _ in range(3)]
    value = [_glorot(columns, hidden, 1, rng) for _ in range(3)]
    gates = torch.cat([torch.cat(state, 1), torch.cat(value, 1)], 2)
    return {"gates": gates, "weight": _glorot(columns, 1, hidden, rng), "bias": _glorot(columns, 1, 1, rng)}


def forward(own: Mapping[str, Tensor], sequence: Sequence[Tensor], state: Tensor) -> tuple[list[Tensor], list[Trace]]:
    """Outputs [R, n] for each of a sequence of rows [R, n], begun at `state` [R, n, h], and the traces of the steps.

    Later members of the sequence may be shorter: of the rows they leave out there is no later output.
    """
    found: list[Tensor] = []
    traces: list[Trace] = []
    h = state.permute(1, 2, 0).contiguous()
    for rows in sequence:
        traces.append(step(own["gates"], h[:, :, : len(rows)], rows.T.unsqueeze(1)))
        h = traces[-1].state
        found.append((_times(own["weight"], h) + own["bias"])[:, 0].T)
    return found, traces


def step(gates: Tensor, state: Tensor, values: Tensor) -> Trace:
    """One step: state [n, h, R], values [n, 1, R].

    z, r = sigmoid(W [h, w]); g = tanh(W_g [r h, w]); h' = (1 - z) h + z g.
    """
    size = state.shape[1]
    seen = torch.cat([state, values], 1)
    both = _times(gates[:, : 2 * size], seen).sigmoid_()
    z, r = both.chunk(2, 1)
    reset = torch.cat([r * state, values], 1)
    candidate = _tanh(_times(gates[:, 2 * size :], reset))
    return Trace(seen, both, reset, candidate, torch.lerp(state, candidate, z))


def backward(own: Mapping[str, Tensor], traces: Sequence[Trace], slopes: Sequence[Tensor]) -> dict[str, Tensor]:
    """The gradient of the parameters, given that of each output [R, n]; the sequence and its first state are constant.

    Written out, it takes less than half of autograd's time, most of which goes into one order of two factors.
    """
    found = {name: torch.zeros_like(tensor) for name, tensor in own.items()}
    later: Tensor | None = None
    for place in reversed(range(len(traces))):
        trace, slope = traces[place], slopes[place].T.unsqueeze(1).contiguous()
        found["weight"] += _outer(slope, trace.state)
        found["bias"] += slope.sum(2, keepdim=True)
        total = own["weight"].transpose(1, 2) * slope
        if later is not None:
            total[:, :, : later.shape[2]] += later
        of_gates, later = _step_back(own["gates"], trace, total, bool(place))
        found["gates"] += of_gates
    return found


def _step_back(gates: Tensor, trace: Trace, slope: Tensor, further: bool) -> tuple[Tensor, Tensor | None]:
    """The gradient of the gates, and of the state before if it has to go `further` back."""
    size = trace.candidate.shape[1]
    state, (z, r) = trace.seen[:, :size], trace.both.chunk(2, 1)
    of_candidate = (slope * z).mul_(1 - trace.candidate.square())
    of_reset = _times(gates[:, 2 * size :, :size].transpose(1, 2), of_candidate)
    of_both = torch.cat([slope * (trace.candidate - state), of_reset * state], 1).mul_(trace.both).mul_(1 - trace.both)
    of_gates = torch.cat([_outer(of_both, trace.seen), _outer(of_candidate, trace.reset)], 1)
    if not further:
        return of_gates, None
    before = _times(gates[:, : 2 * size, :size].transpose(1, 2), of_both)
    return of_gates, before.add_(slope).addcmul_(slope, z, value=-1).addcmul_(of_reset, r)


def _times(matrices: Tensor, values: Tensor) -> Tensor:
    """n matrices [n, a, b] times [n, b, R]; of a single row, a sum of products is faster than n products."""
    if values.shape[2] == 1:
        return (matrices * values.transpose(1, 2)).sum(2, keepdim=True)
    return torch.bmm(matrices, values)


def _outer(slope: Tensor, values: Tensor) -> Tensor:
    """The gradient [n, a, b] of the matrices, given that of what they made [n, a, R]."""
    if values.shape[2] == 1:
        return slope * values.transpose(1, 2)
    return torch.bmm(values, slope.transpose(1, 2)).transpose(1, 2)  # the other order takes four times as long


def _tanh(values: Tensor) -> Tensor:
    """tanh in place, by the sigmoid: torch's own takes eight times as long."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)


def _glorot(count: int, out: int, into: int, rng: torch.Generator) -> Tensor:
    limit = sqrt(6 / (count * (out + into)))
    return (2 * torch.rand(count, out, into, generator=rng) - 1) * limit
