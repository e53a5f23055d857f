"""GRU: one small recurrent network for each column, as in ASMG, with its forward and backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.modules.threads import ThreadPool

PIECE = 512  # rows at a time: the tensors of a step fit into the processor's cache

# Gradients of functions from their outputs, in one pass.
sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward.grad_input, torch.ops.aten.tanh_backward


class Trace(NamedTuple):
    """The tensors of one step of n networks of h numbers on R rows that its gradient needs."""

    inputs: Tensor  # [n, h + 1, R] state and value
    both: Tensor  # [n, 2 h, R] z and r
    reset: Tensor  # [n, h + 1, R] r times state, and value
    candidate: Tensor  # [n, h, R]
    state: Tensor  # [n, h, R] the new one


def first_values(columns: int, hidden: int, rng: torch.Generator) -> dict[str, Tensor]:
    """First values of the parameters of GRUs, drawn as TensorFlow draws them.

    That is Glorot uniform, which counts the first of three dimensions as a receptive field.

    Parameters
    ----------
    columns : int
        n, the number of networks. A larger n gives smaller first values.
    hidden : int
        h, the numbers of each network's state.
    rng : torch.Generator
        Where the numbers are drawn from.

    Returns
    -------
    dict of str to Tensor
        `gates` [n, 3 h, h + 1] of z, r and g, `weight` [n, 1, h] and `bias` [n, 1, 1] of the output.

    Examples
    --------
    Numbers of one network with a state of 4: 3 (4 + 16) + 4 + 1.

    >>> import torch
    >>> from nightloop.tasks.meta.asmg_gru import first_values
    >>> sum(tensor.numel() for tensor in first_values(1, 4, torch.Generator().manual_seed(0)).values())
    65
    """
    state = [_glorot(columns, hidden, hidden, rng) for _ in range(3)]
    value = [_glorot(columns, hidden, 1, rng) for _ in range(3)]
    gates = torch.cat([torch.cat(state, 1), torch.cat(value, 1)], 2)
    return {"gates": gates, "weight": _glorot(columns, 1, hidden, rng), "bias": _glorot(columns, 1, 1, rng)}


def forward(
    parameters: Mapping[str, Tensor], sequence: Sequence[Tensor], state: Tensor, threads: ThreadPool
) -> tuple[list[Tensor], list[list[Trace]]]:
    """The outputs of n networks for a sequence, and what the backward pass needs.

    Later members of the sequence may have fewer rows: the rows that they leave out have no later output.

    Parameters
    ----------
    parameters : mapping of str to Tensor
        The parameters, as `first_values` gives them.
    sequence : sequence of Tensor
        k tensors [R, n], oldest first.
    state : Tensor
        [R, n, h], the hidden state to start at.
    threads : ThreadPool
        Pieces of `PIECE` rows are computed in parallel.

    Returns
    -------
    list of Tensor
        An output [R, n] for each member of the sequence.
    list of list of Trace
        The steps of each piece.

    Examples
    --------
    One network whose gates are zero halves its state at each step; the output is the state plus 0.1.

    >>> import torch
    >>> from nightloop.tasks.meta.asmg_gru import forward
    >>> from nightloop.tasks.modules.threads import ThreadPool
    >>> own = {"gates": torch.zeros(1, 3, 2), "weight": torch.ones(1, 1, 1), "bias": torch.full((1, 1, 1), 0.1)}
    >>> outputs, _ = forward(own, [torch.ones(1, 1)] * 2, torch.ones(1, 1, 1), ThreadPool(1))
    >>> print([round(output.item(), 2) for output in outputs])
    [0.6, 0.35]
    """
    outputs = [torch.empty_like(rows) for rows in sequence]

    def run_piece(piece: slice) -> list[Trace]:
        traces, inputs = [], append_row(state[piece].permute(1, 2, 0))
        for rows, output in zip((rows[piece] for rows in sequence), (output[piece] for output in outputs), strict=True):
            if not len(rows):
                break
            inputs = inputs[:, :, : len(rows)]
            inputs[:, -1] = rows.T
            next_inputs = torch.empty_like(inputs)  # the state is written where the next step reads it
            traces.append(step(parameters["gates"], inputs, next_inputs[:, :-1]))
            output.copy_((_times(parameters["weight"], traces[-1].state) + parameters["bias"])[:, 0].T)
            inputs = next_inputs
        return traces

    return outputs, threads.map(run_piece, _pieces(len(state)))


def append_row(state: Tensor) -> Tensor:
    """A state [n, h, R] with an empty row for a value after it: [n, h + 1, R]."""
    inputs = state.new_empty(state.shape[0], state.shape[1] + 1, state.shape[2])
    inputs[:, :-1] = state
    return inputs


def step(gates: Tensor, inputs: Tensor, out: Tensor | None = None) -> Trace:
    """One step of n networks on R rows: z, r = sigmoid(W [h, w]); g = tanh(W_g [r h, w]); h' = (1 - z) h + z g.

    z weighs the new candidate g, and r is applied before the product: PyTorch's GRU does both in another way.

    Parameters
    ----------
    gates : Tensor
        [n, 3 h, h + 1], as in `first_values`.
    inputs : Tensor
        [n, h + 1, R], the state and, after it, the value w.
    out : Tensor or None, default None
        [n, h, R], where the new state is written. None: a new tensor.

    Returns
    -------
    Trace
        The new state, and what the gradient needs.

    Examples
    --------
    If all gates are zero then z = 1/2 and g = 0: the state is halved.

    >>> import torch
    >>> from nightloop.tasks.meta.asmg_gru import step
    >>> step(torch.zeros(1, 3, 2), torch.tensor([[[0.8], [5.0]]])).state.flatten()
    tensor([0.4000])
    """
    size = inputs.shape[1] - 1
    state, both = inputs[:, :size], _times(gates[:, : 2 * size], inputs).sigmoid_()
    z, r = both.chunk(2, 1)
    reset = torch.empty_like(inputs)
    torch.mul(r, state, out=reset[:, :size])
    reset[:, size] = inputs[:, size]
    candidate = _tanh(_times(gates[:, 2 * size :], reset))
    return Trace(inputs, both, reset, candidate, torch.lerp(state, candidate, z, out=out))


def backward(
    parameters: Mapping[str, Tensor],
    traces: Sequence[Sequence[Trace]],
    output_gradients: Sequence[Tensor],
    threads: ThreadPool,
) -> dict[str, Tensor]:
    """The gradient of the parameters; the sequence and its first state are constants.

    Without autograd it takes less than half of the time. Autograd multiplies two factors in an order that is slow.

    Parameters
    ----------
    parameters : mapping of str to Tensor
        The parameters, as given to `forward`.
    traces : sequence of sequence of Trace
        What `forward` returned.
    output_gradients : sequence of Tensor
        The gradient [R, n] of each output.
    threads : ThreadPool
        Pieces of rows are computed in parallel.

    Returns
    -------
    dict of str to Tensor
        A gradient for each parameter, of its shape.

    Examples
    --------
    The output is the state plus the bias, so the gradient of the bias is the sum of the outputs' gradients.

    >>> import torch
    >>> from nightloop.tasks.meta.asmg_gru import backward, first_values, forward
    >>> from nightloop.tasks.modules.threads import ThreadPool
    >>> own, alone = first_values(1, 4, torch.Generator().manual_seed(0)), ThreadPool(1)
    >>> _, traces = forward(own, [torch.ones(3, 1)] * 2, torch.zeros(3, 1, 4), alone)
    >>> print(round(backward(own, traces, [torch.full((3, 1), 0.1)] * 2, alone)["bias"].item(), 3))
    0.6
    """

    def backward_piece(steps: Sequence[Trace], piece: slice) -> dict[str, Tensor]:
        gradients = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
        later: Tensor | None = None
        for number in reversed(range(len(steps))):
            trace, gradient = steps[number], output_gradients[number][piece].T.unsqueeze(1).contiguous()
            gradients["weight"] += _outer(gradient, trace.state)
            gradients["bias"] += gradient.sum(2, keepdim=True)
            total = parameters["weight"].transpose(1, 2) * gradient
            if later is not None:
                total[:, :, : later.shape[2]] += later
            gate_gradient, later = _step_back(parameters["gates"], trace, total, bool(number))
            gradients["gates"] += gate_gradient
        return gradients

    parts = threads.map(lambda part: backward_piece(*part), zip(traces, _pieces(len(output_gradients[0])), strict=True))
    return {name: reduce(torch.add, [part[name] for part in parts]) for name in parameters}


def _pieces(rows: int) -> list[slice]:
    return [slice(first, first + PIECE) for first in range(0, max(rows, 1), PIECE)]


def _step_back(gates: Tensor, trace: Trace, gradient: Tensor, further: bool) -> tuple[Tensor, Tensor | None]:
    """The gradient of the gates, and of the state before if it has to go `further` back."""
    size = trace.candidate.shape[1]
    state, (z, r) = trace.inputs[:, :size], trace.both.chunk(2, 1)
    candidate_part = gradient * z
    candidate_gradient = tanh_backward(candidate_part, trace.candidate)
    reset_gradient = _times(gates[:, 2 * size :, :size].transpose(1, 2), candidate_gradient)
    both_gradient = torch.empty_like(trace.both)
    torch.mul(trace.candidate - state, gradient, out=both_gradient[:, :size])
    torch.mul(reset_gradient, state, out=both_gradient[:, size:])
    sigmoid_backward(both_gradient, trace.both, grad_input=both_gradient)
    gate_gradient = torch.cat([_outer(both_gradient, trace.inputs), _outer(candidate_gradient, trace.reset)], 1)
    if not further:
        return gate_gradient, None
    before = _times(gates[:, : 2 * size, :size].transpose(1, 2), both_gradient)
    return gate_gradient, before.add_(gradient).sub_(candidate_part).addcmul_(reset_gradient, r)


def _times(matrices: Tensor, values: Tensor) -> Tensor:
    """n matrices [n, a, b] times [n, b, R]; for a single row, a sum of products is faster than n products."""
    if values.shape[2] == 1:
        return (matrices * values.transpose(1, 2)).sum(2, keepdim=True)
    return torch.bmm(matrices, values)


def _outer(gradient: Tensor, values: Tensor) -> Tensor:
    """The gradient [n, a, b] of the matrices, given that of their products [n, a, R]."""
    if values.shape[2] == 1:
        return gradient * values.transpose(1, 2)
    return torch.bmm(values, gradient.transpose(1, 2)).transpose(1, 2)  # the other order takes four times as long


def _tanh(values: Tensor) -> Tensor:
    """tanh in place, by the sigmoid: torch's own takes eight times as long."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)


def _glorot(count: int, out: int, into: int, rng: torch.Generator) -> Tensor:
    limit = sqrt(6 / (count * (out + into)))
    return (2 * torch.rand(count, out, into, generator=rng) - 1) * limit
