"""Look-up: which rows of the tables an interaction is predicted from: its own, unless the model keeps more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.model import Keeping, Lookup, Model
from tasks.models.tables import offsets


@dataclass(frozen=True)
class Own:
    """Each entry is made of its own rows, one a field."""

    sizes: list[int]

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """[n F]."""
        return own_rows(ids, self.sizes)

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """The values, entry by entry: [n, F, width]."""
        return values.view(*ids.shape, -1)


def lookup(model: Model, sizes: list[int], logs: Logs, close: int) -> Lookup:
    """The look-up for rows of `logs`, with what was known at the close of period `close`, of tables of these sizes."""
    return model.lookup(sizes, logs, close) if isinstance(model, Keeping) else Own(sizes)


def own_close(logs: Logs) -> int:
    """The newest period that has rows: what is trained on is looked up as of its own close."""
    return int(logs.periods.max()) if len(logs) else logs.period


def close_before(logs: Logs) -> int:
    """The period before the oldest that has rows: what is judged in hindsight is looked up as of then."""
    return int(logs.periods.min()) - 1 if len(logs) else logs.period - 1


def own_rows(ids: Tensor, sizes: list[int]) -> Tensor:
    """Rows of the fused table that entries [n, F] name themselves: [n F]."""
    return (ids + offsets(sizes)).flatten()


def occurrences(rows: Tensor, ids: Tensor, sizes: list[int]) -> Tensor:
    """How often each of `rows` [k], distinct and ascending, is named by the entries themselves: [k] int64."""
    own = own_rows(ids, sizes)
    return torch.bincount(torch.searchsorted(rows, own), minlength=len(rows))
