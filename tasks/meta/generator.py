"""Generator: what ASMG makes weights to be served with, of a sequence of a learner's weights, number by number."""

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
    """Outputs [R, n] for each of a sequence of rows, and what their slope needs."""

    outputs: list[Tensor]
    traces: list[list[asmg_gru.Trace]]
    sequence: Sequence[Tensor]


@dataclass(frozen=True)
class Generator:
    """M(w_1, ..., w_k, h_0): an output for every weight of the sequence and, of a GRU, the hidden state behind it.

    Form `GRU`: every number of the weights is a sequence of its own, of input size 1 and `hidden` numbers of state,

        z, r = sigmoid(W [h, w])    g = tanh(W_g [r h, w])    h' = (1 - z) h + z g    output = v h' + b

    without biases in the gates; z weighs the new candidate, r comes before the product: not PyTorch's GRU. A table has
    one GRU for each of its columns, shared by its rows; all else has one for each number. `residual` adds w to the
    output, where v and b begin at nought: it begins as the learner's own weights. Form `Linear`: the output for the
    last is sum_i a_i w_i, a the softmax of `window` logits, begun at 0, for each column or number.
    Source: ASMG (Peng et al. 2021), section 4; first values are TensorFlow's Glorot, as in the authors' code.
    """

    fields: tuple[str, ...]
    form: Form = "GRU"
    hidden: int = 4
    residual: bool = False
    window: int = 3

    def parameters(self, model: Model, weights: Weights, rng: torch.Generator) -> dict[str, Tensor]:
        """First values, `<field or weight>/<parameter>`; 65 for each column of a table and each other number."""
        found: dict[str, Tensor] = {}
        for field in self.fields:
            found |= pack(field, self._first(model.width, rng))
        for name, tensor in dense_names(weights).items():
            found |= pack(name, self._first(tensor.numel(), rng))
        return found

    def blank(self, weights: Weights) -> dict[str, Tensor]:
        """Hidden states of nought by name of the weights, [rows, columns, hidden] or [numbers, hidden]; Linear: none."""
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
        """The outputs for rows [R, n] of one table, begun at `state` [R, n, hidden] (Linear: None).

        Later members of the sequence may be shorter: of the rows they leave out there is no later output.
        """
        own = unpack(name, parameters)
        if state is None:
            shares, last = torch.softmax(own["logits"], 1), len(sequence[-1])
            mean = sum((shares[:, place] * rows[:last] for place, rows in enumerate(sequence)), torch.zeros(()))
            return GeneratedRows([*sequence[:-1], mean], [], sequence)
        outputs, traces = asmg_gru.forward(own, sequence, state, threads)
        if self.residual:
            outputs = [output + rows for output, rows in zip(outputs, sequence, strict=True)]
        return GeneratedRows(outputs, traces, sequence)

    def gradients(
        self, parameters: Weights, name: str, made: GeneratedRows, slopes: Sequence[Tensor], threads: ThreadPool
    ) -> dict[str, Tensor]:
        """The gradient of one table's parameters, by their full names, given that of each output."""
        own = unpack(name, parameters)
        if made.traces:
            return pack(name, asmg_gru.backward(own, made.traces, slopes, threads))
        shares, last = torch.softmax(own["logits"], 1), len(slopes[-1])
        of_shares = torch.stack([(slopes[-1] * rows[:last]).sum(0) for rows in made.sequence], 1)
        return {f"{name}/logits": shares * (of_shares - (shares * of_shares).sum(1, keepdim=True))}

    def dense(self, parameters: Weights, sequence: Sequence[Weights], hidden: Weights) -> dict[str, GeneratedRows]:
        """What is made of everything that is not a table; outputs are [1, numbers]."""
        found = {}
        for name in dense_names(sequence[-1]):
            flat = [weights[name].reshape(1, -1) for weights in sequence]
            found[name] = self.rows(parameters, name, flat, hidden[name][None] if hidden else None)
        return found

    def generate(self, parameters: Weights, sequence: Sequence[Weights], hidden: Weights) -> dict[str, Tensor]:
        """The last output for every weight: what is served."""
        last = sequence[-1]
        found = {PREFIX + field: last[PREFIX + field].clone() for field in self.fields}

        def make(name: str, rows: slice) -> None:
            state = hidden[name][rows] if hidden else None
            part = self.rows(parameters, name.removeprefix(PREFIX), [w[name][rows] for w in sequence], state)
            found[name][rows] = part.outputs[-1]

        with thread_pool() as threads:
            made = self.dense(parameters, sequence, hidden)
            found |= {name: one.outputs[-1].reshape(last[name].shape) for name, one in made.items()}
            threads.map(lambda chunk: make(*chunk), self._chunks(last))
        return found

    def advance_hidden(self, parameters: Weights, weights: Weights, hidden: Weights) -> dict[str, Tensor]:
        """The hidden states one weight further."""
        found = {name: tensor.clone() for name, tensor in hidden.items()}

        def move(name: str, rows: slice) -> None:
            seen = asmg_gru.append_row(hidden[name][rows].permute(1, 2, 0))
            seen[:, -1] = weights[name][rows].T
            moved = asmg_gru.step(parameters[f"{name.removeprefix(PREFIX)}/gates"], seen).state
            found[name][rows] = moved.permute(2, 0, 1)

        with thread_pool() as threads:
            for name, tensor in dense_names(weights).items():
                seen = asmg_gru.append_row(hidden[name][:, :, None])
                seen[:, -1] = tensor.reshape(-1, 1)
                found[name] = asmg_gru.step(parameters[f"{name}/gates"], seen).state[:, :, 0]
            threads.map(lambda chunk: move(*chunk), self._chunks(weights))
        return found

    def _first(self, columns: int, rng: torch.Generator) -> dict[str, Tensor]:
        if self.form == "Linear":
            return {"logits": torch.zeros(columns, self.window)}
        found = asmg_gru.first_values(columns, self.hidden, rng)
        if self.residual:
            found |= {name: torch.zeros_like(found[name]) for name in ("weight", "bias")}
        return found

    def _chunks(self, weights: Weights) -> Iterator[tuple[str, slice]]:
        for field in self.fields:
            for first in range(0, len(weights[PREFIX + field]), asmg_gru.PIECE):
                yield PREFIX + field, slice(first, first + asmg_gru.PIECE)
