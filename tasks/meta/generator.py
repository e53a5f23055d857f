"""Generator: the network of ASMG. It makes the served weights from a sequence of a learner's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.meta import asmg_gru
from nightloop.tasks.modules.checkpoint import Weights, pack, unpack
from nightloop.tasks.modules.fused_tables import PREFIX, dense_names
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.threads import ThreadPool, thread_pool

Form = Literal["GRU", "Linear"]

ALONE = ThreadPool(1)


class GeneratedRows(NamedTuple):
    """Outputs [R, n] for each of a sequence of rows, and what their gradient needs."""

    outputs: list[Tensor]
    traces: list[list[asmg_gru.Trace]]
    sequence: Sequence[Tensor]


@dataclass(frozen=True)
class Generator:
    """M(w_1, ..., w_k, h_0): an output for every weight of the sequence and, of a GRU, the hidden state behind it.

    Form `GRU`: every number of the weights is a sequence of its own, of input size 1 and `hidden` numbers of state,

        z, r = sigmoid(W [h, w])    g = tanh(W_g [r h, w])    h' = (1 - z) h + z g    output = v h' + b

    without biases in the gates; z weighs the new candidate, r comes before the product: not PyTorch's GRU. A table has
    one GRU for each of its columns, shared by its rows. All other weights have one for each number. `residual` adds w
    to the output, and v and b start at zero: the first outputs are the learner's own weights. Form `Linear`: the output
    for the last is sum_i a_i w_i. a is the softmax of `window` logits, which start at 0, for each column or number.
    Source: ASMG (Peng et al. 2021), section 4; first values are TensorFlow's Glorot, as in the authors' code.
    """

    fields: tuple[str, ...]
    form: Form = "GRU"
    hidden: int = 4
    residual: bool = False
    window: int = 3

    def parameters(self, model: Model, weights: Weights, rng: torch.Generator) -> dict[str, Tensor]:
        """First values, `<field or weight>/<parameter>`; 65 for each column of a table and each other number."""
        first_values: dict[str, Tensor] = {}
        for field in self.fields:
            first_values |= pack(field, self._first(model.width, rng))
        for name, tensor in dense_names(weights).items():
            first_values |= pack(name, self._first(tensor.numel(), rng))
        return first_values

    def blank(self, weights: Weights) -> dict[str, Tensor]:
        """Hidden states of zero by name of the weights, [rows, columns, hidden] or [numbers, hidden]; Linear: none."""
        if self.form == "Linear":
            return {}
        return {
            name: torch.zeros(*(tensor.shape if name.startswith(PREFIX) else (tensor.numel(),)), self.hidden)
            for name, tensor in weights.items()
        }

    def rows(
        self,
        parameters: Weights,
        name: str,
        sequence: Sequence[Tensor],
        state: Tensor | None,
        threads: ThreadPool = ALONE,
    ) -> GeneratedRows:
        """The outputs for rows [R, n] of one table, from the hidden state `state` [R, n, hidden] (Linear: None).

        Later members of the sequence may be shorter. Rows that they leave out have no later output.
        """
        table_parameters = unpack(name, parameters)
        if state is None:
            shares, last = torch.softmax(table_parameters["logits"], 1), len(sequence[-1])
            mean = sum((shares[:, position] * rows[:last] for position, rows in enumerate(sequence)), torch.zeros(()))
            return GeneratedRows([*sequence[:-1], mean], [], sequence)
        outputs, traces = asmg_gru.forward(table_parameters, sequence, state, threads)
        if self.residual:
            outputs = [output + rows for output, rows in zip(outputs, sequence, strict=True)]
        return GeneratedRows(outputs, traces, sequence)

    def gradients(
        self,
        parameters: Weights,
        name: str,
        generated: GeneratedRows,
        output_gradients: Sequence[Tensor],
        threads: ThreadPool,
    ) -> dict[str, Tensor]:
        """The gradient of one table's parameters, by their full names, given that of each output."""
        table_parameters = unpack(name, parameters)
        if generated.traces:
            return pack(name, asmg_gru.backward(table_parameters, generated.traces, output_gradients, threads))
        shares, last = torch.softmax(table_parameters["logits"], 1), len(output_gradients[-1])
        share_gradients = torch.stack([(output_gradients[-1] * rows[:last]).sum(0) for rows in generated.sequence], 1)
        return {f"{name}/logits": shares * (share_gradients - (shares * share_gradients).sum(1, keepdim=True))}

    def dense(self, parameters: Weights, sequence: Sequence[Weights], hidden: Weights) -> dict[str, GeneratedRows]:
        """The outputs for all weights that are not a table, [1, numbers] each."""
        generated = {}
        for name in dense_names(sequence[-1]):
            flat = [weights[name].reshape(1, -1) for weights in sequence]
            generated[name] = self.rows(parameters, name, flat, hidden[name][None] if hidden else None)
        return generated

    def generate(self, parameters: Weights, sequence: Sequence[Weights], hidden: Weights) -> dict[str, Tensor]:
        """The last output for every weight: the weights to serve."""
        last = sequence[-1]
        weights = {PREFIX + field: last[PREFIX + field].clone() for field in self.fields}

        def generate_rows(name: str, rows: slice) -> None:
            state = hidden[name][rows] if hidden else None
            generated = self.rows(parameters, name.removeprefix(PREFIX), [w[name][rows] for w in sequence], state)
            weights[name][rows] = generated.outputs[-1]

        with thread_pool() as threads:
            dense = self.dense(parameters, sequence, hidden)
            weights |= {name: one.outputs[-1].reshape(last[name].shape) for name, one in dense.items()}
            threads.map(lambda chunk: generate_rows(*chunk), self._chunks(last))
        return weights

    def advance_hidden(self, parameters: Weights, weights: Weights, hidden: Weights) -> dict[str, Tensor]:
        """The hidden states after one more step of the sequence."""
        state = {name: tensor.clone() for name, tensor in hidden.items()}

        def advance_rows(name: str, rows: slice) -> None:
            inputs = asmg_gru.append_row(hidden[name][rows].permute(1, 2, 0))
            inputs[:, -1] = weights[name][rows].T
            next_state = asmg_gru.step(parameters[f"{name.removeprefix(PREFIX)}/gates"], inputs).state
            state[name][rows] = next_state.permute(2, 0, 1)

        with thread_pool() as threads:
            for name, tensor in dense_names(weights).items():
                inputs = asmg_gru.append_row(hidden[name][:, :, None])
                inputs[:, -1] = tensor.reshape(-1, 1)
                state[name] = asmg_gru.step(parameters[f"{name}/gates"], inputs).state[:, :, 0]
            threads.map(lambda chunk: advance_rows(*chunk), self._chunks(weights))
        return state

    def _first(self, columns: int, rng: torch.Generator) -> dict[str, Tensor]:
        if self.form == "Linear":
            return {"logits": torch.zeros(columns, self.window)}
        values = asmg_gru.first_values(columns, self.hidden, rng)
        if self.residual:
            values |= {name: torch.zeros_like(values[name]) for name in ("weight", "bias")}
        return values

    def _chunks(self, weights: Weights) -> Iterator[tuple[str, slice]]:
        for field in self.fields:
            for first in range(0, len(weights[PREFIX + field]), asmg_gru.PIECE):
                yield PREFIX + field, slice(first, first + asmg_gru.PIECE)
