"""Look-up: which rows of the tables an interaction is predicted from. These are its own, unless the model has state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.fused_tables import offsets
from nightloop.tasks.modules.model import Lookup, Model, StatefulModel


@dataclass(frozen=True)
class OwnRows:
    """Each entry is made of its own rows, one a field."""

    sizes: list[int]

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """[n F]."""
        return own_rows(ids, self.sizes)

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """The values, entry by entry: [n, F, width]."""
        return values.view(*ids.shape, -1)


@dataclass(frozen=True, eq=False)
class MultiValueRows:
    """As `OwnRows`, but a field with several values a row gives their mean. It is zero if no value is in the table."""

    sizes: list[int]
    field: Tensor  # [V] number of the model's field of each column of `values`
    values: Tensor  # [N, V] of the logs

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The entries' own rows, of those fields the first value's, then those of all values."""
        values, in_table = self._values_and_mask(positions)
        return torch.cat([own_rows(ids, self.sizes), (values + offsets(self.sizes)[self.field])[in_table]])

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """[n, F, width]."""
        _, in_table = self._values_and_mask(positions)
        n, f = ids.shape
        cells = (torch.arange(n)[:, None] * f + self.field)[in_table]  # entry * fields + field
        total = values.new_zeros(n * f, values.shape[1]).index_add(0, cells, values[n * f :])
        mean = total / torch.bincount(cells, minlength=n * f).clamp(min=1)[:, None]
        several = torch.zeros(f, dtype=torch.bool).index_fill(0, self.field, True)
        return torch.where(several[:, None], mean.view(n, f, -1), values[: n * f].view(n, f, -1))

    def _values_and_mask(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Values [n, V] of the rows of the logs, and which have a row in a table: [n, V] bool."""
        values = self.values.index_select(0, positions)
        return values, (values >= 0) & (values < torch.tensor(self.sizes)[self.field])


def own_lookup(fields: Sequence[str], sizes: list[int], logs: Logs) -> OwnRows | MultiValueRows:
    """The look-up of a model's own rows."""
    number = {logs.fields.index(field): position for position, field in enumerate(fields)}
    columns = [n for n, field in enumerate(logs.several) if field in number]
    if not columns:
        return OwnRows(sizes)
    return MultiValueRows(sizes, torch.tensor([number[logs.several[n]] for n in columns]), logs.values[:, columns])


def lookup(model: Model, sizes: list[int], logs: Logs, close: int) -> Lookup:
    """The look-up for rows of `logs`, with what was known at the close of period `close`, of tables of these sizes."""
    return (
        model.lookup(sizes, logs, close) if isinstance(model, StatefulModel) else own_lookup(model.fields, sizes, logs)
    )


def own_close(logs: Logs) -> int:
    """The newest period that has rows. Training looks rows up as they are at the close of their own period."""
    return int(logs.periods.max()) if len(logs) else logs.period


def close_before(logs: Logs) -> int:
    """The period before the oldest that has rows. Evaluation looks rows up as they were before their own period."""
    return int(logs.periods.min()) - 1 if len(logs) else logs.period - 1


def own_rows(ids: Tensor, sizes: list[int]) -> Tensor:
    """Rows of the fused table that entries [n, F] name themselves: [n F]."""
    return (ids + offsets(sizes)).flatten()


def occurrences(rows: Tensor, occurring: Tensor) -> Tensor:
    """How often each of `rows` [k], distinct and ascending, is among `occurring` [o]: [k] int64."""
    return torch.bincount(torch.searchsorted(rows, occurring), minlength=len(rows))
