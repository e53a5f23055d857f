"""GRU: one small recurrent network a column, as ASMG has it, forwards and backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.modules.threads import ThreadPool

PIECE = 512  # rows at a time: what a step makes of them stays in the processor's cache

# Slopes of functions from what they gave, in one pass.
sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward.grad_input, torch.ops.aten.tanh_backward


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


def forward(
    own: Mapping[str, Tensor], sequence: Sequence[Tensor], state: Tensor, threads: ThreadPool
) -> tuple[list[Tensor], list[list[Trace]]]:
    """Outputs [R, n] for each of a sequence of rows [R, n], begun at `state` [R, n, h], and the traces of the steps of
    each piece of `PIECE` rows; the pieces are dealt to the threads.

    Later members of the sequence may be shorter: of the rows they leave out there is no later output.
    """
    found = [torch.empty_like(rows) for rows in sequence]

    def walk(piece: slice) -> list[Trace]:
        traces, seen = [], room(state[piece].permute(1, 2, 0))
        for rows, output in zip((rows[piece] for rows in sequence), (output[piece] for output in found), strict=True):
            if not len(rows):
                break
            seen = seen[:, :, : len(rows)]
            seen[:, -1] = rows.T
            after = torch.empty_like(seen)  # what the next step sees: its state is written where it is read
            traces.append(step(own["gates"], seen, after[:, :-1]))
            output.copy_((_times(own["weight"], traces[-1].state) + own["bias"])[:, 0].T)
            seen = after
        return traces

    return found, threads.map(walk, _pieces(len(state)))


def room(state: Tensor) -> Tensor:
    """A state [n, h, R] with room for a value below it: [n, h + 1, R]."""
    found = state.new_empty(state.shape[0], state.shape[1] + 1, state.shape[2])
    found[:, :-1] = state
    return found


def step(gates: Tensor, seen: Tensor, into: Tensor | None = None) -> Trace:
    """One step from state and value, `seen` [n, h + 1, R]; the new state is written `into` [n, h, R], if given.

    z, r = sigmoid(W [h, w]); g = tanh(W_g [r h, w]); h' = (1 - z) h + z g.
    """
    size = seen.shape[1] - 1
    state, both = seen[:, :size], _times(gates[:, : 2 * size], seen).sigmoid_()
    z, r = both.chunk(2, 1)
    reset = torch.empty_like(seen)
    torch.mul(r, state, out=reset[:, :size])
    reset[:, size] = seen[:, size]
    candidate = _tanh(_times(gates[:, 2 * size :], reset))
    return Trace(seen, both, reset, candidate, torch.lerp(state, candidate, z, out=into))


def backward(
    own: Mapping[str, Tensor], traces: Sequence[Sequence[Trace]], slopes: Sequence[Tensor], threads: ThreadPool
) -> dict[str, Tensor]:
    """The gradient of the parameters, given that of each output [R, n]; the sequence and its first state are constant.

    Written out, it takes less than half of autograd's time, most of which goes into one order of two factors.
    """

    def walk_back(steps: Sequence[Trace], piece: slice) -> dict[str, Tensor]:
        found = {name: torch.zeros_like(tensor) for name, tensor in own.items()}
        later: Tensor | None = None
        for place in reversed(range(len(steps))):
            trace, slope = steps[place], slopes[place][piece].T.unsqueeze(1).contiguous()
            found["weight"] += _outer(slope, trace.state)
            found["bias"] += slope.sum(2, keepdim=True)
            total = own["weight"].transpose(1, 2) * slope
            if later is not None:
                total[:, :, : later.shape[2]] += later
            of_gates, later = _step_back(own["gates"], trace, total, bool(place))
            found["gates"] += of_gates
        return found

    parts = threads.map(lambda part: walk_back(*part), zip(traces, _pieces(len(slopes[0])), strict=True))
    return {name: reduce(torch.add, [part[name] for part in parts]) for name in own}


def _pieces(rows: int) -> list[slice]:
    return [slice(first, first + PIECE) for first in range(0, max(rows, 1), PIECE)]


def _step_back(gates: Tensor, trace: Trace, slope: Tensor, further: bool) -> tuple[Tensor, Tensor | None]:
    """The gradient of the gates, and of the state before if it has to go `further` back."""
    size = trace.candidate.shape[1]
    state, (z, r) = trace.seen[:, :size], trace.both.chunk(2, 1)
    moved = slope * z
    of_candidate = tanh_backward(moved, trace.candidate)
    of_reset = _times(gates[:, 2 * size :, :size].transpose(1, 2), of_candidate)
    of_both = torch.empty_like(trace.both)
    torch.mul(trace.candidate - state, slope, out=of_both[:, :size])
    torch.mul(of_reset, state, out=of_both[:, size:])
    sigmoid_backward(of_both, trace.both, grad_input=of_both)
    of_gates = torch.cat([_outer(of_both, trace.seen), _outer(of_candidate, trace.reset)], 1)
    if not further:
        return of_gates, None
    before = _times(gates[:, : 2 * size, :size].transpose(1, 2), of_both)
    return of_gates, before.add_(slope).sub_(moved).addcmul_(of_reset, r)


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
