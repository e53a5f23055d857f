"""Transfer set: the transfers of a model, one for every table and one for every dense weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.modules.checkpoint import Weights, pack, unpack
from nightloop.tasks.modules.fused_tables import PREFIX, dense_names
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.threads import ThreadPool, thread_pool

CHUNK = 1024  # rows that are transferred at a time, up to twice as many: they fit into the processor's cache


@dataclass(frozen=True)
class TransferSet:
    """The transfers that make the served weights from those of the period before and those learned since.

    Tables have a transfer each, shared by their rows. A dense weight is one long row of its own, whose numbers share
    a transfer without a hidden layer: one with a hidden layer would have as many parameters as the weight has, times
    four times the hidden layer's (ASMG's code does that, for towers of twenty neurons). Parameters are called
    `<field or weight>/<parameter>`.
    """

    transfer: Transfer
    fields: tuple[str, ...]

    @property
    def tower(self) -> Transfer:
        """The transfer of dense weights."""
        short = self.transfer.form if self.transfer.form == "average" else "SML-FC"
        return replace(self.transfer, form=short)

    def parameters(self, model: Model, weights: Weights, generator: Generator) -> dict[str, Tensor]:
        """First values of all transfers."""
        values: dict[str, Tensor] = {}
        for field in self.fields:
            values |= pack(field, self.transfer.parameters(model.width, generator))
        for name in sorted(dense_names(weights)):
            values |= pack(name, self.tower.parameters(weights[name].numel(), generator))
        return values

    def rows(self, parameters: Weights, pieces: Mapping[str, tuple[Tensor, Tensor]], half: bool = False) -> Tensor:
        """Transferred rows of several tables, one table after the other. `pieces` are (before, learned) by field."""
        return torch.cat([
            self.transfer(unpack(field, parameters), old, new, half)
            for field, (before, learned) in pieces.items()
            for old, new in zip(_chunks(before), _chunks(learned), strict=True)
        ])  # fmt: skip

    def dense(self, parameters: Weights, before: Weights, learned: Weights) -> dict[str, Tensor]:
        """All dense weights, transferred."""
        return {
            name: self.tower(unpack(name, parameters), before[name].reshape(1, -1), tensor.reshape(1, -1)).view(
                tensor.shape
            )
            for name, tensor in learned.items()
            if not name.startswith(PREFIX)
        }

    @torch.no_grad()
    def transfer_all(
        self, parameters: Weights, before: Weights, learned: Weights, only: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """All weights, transferred. With `only` (rows by field) all other rows of the tables stay as they were learned."""
        with thread_pool() as threads:
            weights = self.dense(parameters, before, learned)
            for field in self.fields:
                weights[PREFIX + field] = self._table(field, parameters, before, learned, only, threads)
        return weights

    def _table(
        self,
        field: str,
        parameters: Weights,
        before: Weights,
        learned: Weights,
        rows_by_field: Weights | None,
        threads: ThreadPool,
    ) -> Tensor:
        """One table, transferred. The threads share its rows."""
        transfer, name = unpack(field, parameters), PREFIX + field
        transferred = learned[name].clone()
        rows_to_transfer = torch.arange(len(transferred)) if rows_by_field is None else rows_by_field[field]

        @torch.no_grad()  # is each thread's own
        def transfer_rows(chunk: Tensor) -> None:
            transferred[chunk] = self.transfer(transfer, before[name][chunk], learned[name][chunk])

        threads.map(transfer_rows, _chunks(rows_to_transfer) if len(rows_to_transfer) else ())
        return transferred


def _chunks(rows: Tensor) -> Sequence[Tensor]:
    return rows.chunk(max(1, len(rows) // CHUNK))


def active_rows(rows: Tensor, fields: tuple[str, ...], named: tuple[str, ...]) -> dict[str, Tensor]:
    """The distinct vocabulary rows of each wanted field in `rows` [n, F]."""
    return {field: torch.unique(rows[:, fields.index(field)]) for field in named}
