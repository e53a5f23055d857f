"""Sequence: what models of the items a user took last have in common: how rows look them up, and whose are served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import FOLDER
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import offsets
from nightloop.tasks.modules.lookup import own_lookup
from nightloop.tasks.modules.model import Lookup
from nightloop.tasks.plan.errors import DataError, PlanError

LATEST = "latest/table.user"  # kept, [U, L] int64: an item's row + 1, newest last; 0 where there are fewer
BLOCK = 1024  # users that are encoded at once: always as many, so that nobody's vector depends on who else there is


@dataclass(frozen=True, eq=False)
class LastItems:
    """Whose last items a ranking model is served by: those of the close before, until the night has closed."""

    before: Tensor  # [U, L], as `LATEST`
    after: Tensor

    def keep(self) -> dict[str, Tensor]:
        """As a checkpoint keeps it."""
        return {LATEST: self.after}


def last_items(kept: Weights, logs: Logs) -> LastItems:
    """Of the night of `logs.period`; before the first one nobody had taken anything."""
    after = logs.latest + 1
    before = kept.get(LATEST, after.new_zeros(0, after.shape[1]))
    return LastItems(pad(before, (0, 0, 0, len(after) - len(before))), after)


def items_to_encode(weights: Weights, night: LastItems | None) -> Tensor:
    """The last items to encode users by, as `LATEST`: those kept, or of weights that a strategy has those of before.

    Raises ValueError if nothing was kept and it is no night.
    """
    if (found := weights.get(f"{FOLDER}/{LATEST}")) is not None:
        return found
    if night is None:
        raise DataError(f"these weights lack {FOLDER}/{LATEST}, what each user took last; a fold keeps it")
    return pad(night.before, (0, 0, 0, 1))  # one more: nobody's, who took nothing


@dataclass(frozen=True, eq=False)
class HistoryRows:
    """A look-up of each entry's own rows and of the items that its user took before it.

    `embedded` is the own rows, then the history's, newest last and noughts where there are fewer: [n, F + L, width].
    An item that the table has no row for counts as none.
    """

    own: Lookup  # of the entries' own rows
    sizes: Sequence[int]
    item: int  # number of the model's field item
    history: Tensor  # [N, L] of the logs

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The entries' own rows, then their histories'."""
        past, there = self.histories(positions)
        return torch.cat([self.own.rows(positions, ids), past[there] + offsets(self.sizes)[self.item]])

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """[n, F + L, width]."""
        own, with_history, there = self.parted(values, positions, ids)
        spots = there.flatten().nonzero().flatten()
        spread = values.new_zeros(there.numel(), values.shape[1]).index_copy(0, spots, with_history)
        return torch.cat([own, spread.view(*there.shape, -1)], 1)

    def parted(self, values: Tensor, positions: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The entries' own rows [n, F, width], those of their items [m, width], and where there is an item [n, L]."""
        _, there = self.histories(positions)
        first = len(values) - int(there.sum())
        return self.own.embedded(values[:first], positions, ids), values[first:], there

    def histories(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Histories [n, L] of rows of the logs, and where there is an item."""
        past = self.history.index_select(0, positions)
        return past, (past >= 0) & (past < self.sizes[self.item])


@dataclass(frozen=True, eq=False)
class MeanHistoryRows:
    """The same with the mean of the history's rows for all of them, nought for an empty one: [n, F + 1, width]."""

    with_history: HistoryRows

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The entries' own rows, then their histories'."""
        return self.with_history.rows(positions, ids)

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """[n, F + 1, width]."""
        own, with_history, there = self.with_history.parted(values, positions, ids)
        total = values.new_zeros(len(ids), values.shape[1]).index_add(0, there.nonzero()[:, 0], with_history)
        mean = total / there.sum(1, keepdim=True).clamp(min=1)
        return torch.cat([own, mean[:, None]], 1)


def with_history(fields: Sequence[str], length: int, sizes: list[int], logs: Logs) -> HistoryRows:
    """The look-up of a model that reads `length` items. Raises ValueError if the logs have another number."""
    if logs.history.shape[1] != length:
        raise PlanError(
            f"the model reads the last {length} items of a user, the logs have {logs.history.shape[1]}: columns.history "
            "of the plan says how many"
        )
    return HistoryRows(own_lookup(fields, sizes, logs), sizes, tuple(fields).index("item"), logs.history)


def require_history(model: str, history: object) -> None:
    """Raise ValueError if a model of histories is to be built without any."""
    if not isinstance(history, int) or isinstance(history, bool) or history < 1:
        raise PlanError(
            f"{model}: history: given {history!r}; it reads the items a user took last: set columns.history_length to 1 or more"
        )


def encode_histories(encode: Callable[[Tensor], Tensor], table: Tensor, latest: Tensor) -> Tensor:
    """What `encode` makes of histories [B, L, width], of all users [U, d], from rows of the item `table`."""
    rows = torch.cat([table.new_zeros(1, table.shape[1]), table])
    whole = pad(latest.masked_fill(latest > len(table), 0), (0, 0, 0, -len(latest) % BLOCK))
    return torch.cat([encode(rows[part]) for part in torch.split(whole, BLOCK)])[: len(latest)]
