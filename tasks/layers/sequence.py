"""Sequence: the parts that models of a user's last items share: the look-up of histories, and the state that serves."""

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

LATEST = "latest/table.user"  # kept, [U, L] int64: an item's row + 1, newest last; 0 if there are fewer
BLOCK = 1024  # users that are encoded at once: always as many, so that no vector depends on the number of users


@dataclass(frozen=True, eq=False)
class LastItems:
    """The last items that a ranking model serves by: those of the close before, until the night has closed."""

    before: Tensor  # [U, L], as `LATEST`
    after: Tensor

    def keep(self) -> dict[str, Tensor]:
        """As a checkpoint keeps it."""
        return {LATEST: self.after}


def last_items(state: Weights, logs: Logs) -> LastItems:
    """The last items for the night of `logs.period`. Before the first night all histories are empty."""
    after = logs.latest + 1
    before = state.get(LATEST, after.new_zeros(0, after.shape[1]))
    return LastItems(pad(before, (0, 0, 0, len(after) - len(before))), after)


def items_to_encode(weights: Weights, night: LastItems | None) -> Tensor:
    """The last items to encode users by, as in `LATEST`: those kept; without them, those of the close before.

    Raises DataError if the weights have none and there is no night.
    """
    if (last := weights.get(f"{FOLDER}/{LATEST}")) is not None:
        return last
    if night is None:
        raise DataError(f"these weights lack {FOLDER}/{LATEST}, what each user took last; a fold keeps it")
    return pad(night.before, (0, 0, 0, 1))  # one more row: the unknown user, whose history is empty


@dataclass(frozen=True, eq=False)
class HistoryRows:
    """A look-up of each entry's own rows and of the items that its user took before it.

    `embedded` is the own rows, then the history's, newest last, zeros if there are fewer: [n, F + L, width]. An item
    without a row in the table is left out.
    """

    own: Lookup  # of the entries' own rows
    sizes: Sequence[int]
    item: int  # number of the model's field item
    history: Tensor  # [N, L] of the logs

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The entries' own rows, then their histories'."""
        histories, present = self.histories(positions)
        return torch.cat([self.own.rows(positions, ids), histories[present] + offsets(self.sizes)[self.item]])

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """[n, F + L, width]."""
        own_rows, with_history, present = self.split_values(values, positions, ids)
        cells = present.flatten().nonzero().flatten()
        spread = values.new_zeros(present.numel(), values.shape[1]).index_copy(0, cells, with_history)
        return torch.cat([own_rows, spread.view(*present.shape, -1)], 1)

    def split_values(self, values: Tensor, positions: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The entries' own rows [n, F, width], those of their items [m, width], and at which positions there is an item [n, L]."""
        _, present = self.histories(positions)
        first = len(values) - int(present.sum())
        return self.own.embedded(values[:first], positions, ids), values[first:], present

    def histories(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Histories [n, L] of rows of the logs, and at which positions there is an item."""
        histories = self.history.index_select(0, positions)
        return histories, (histories >= 0) & (histories < self.sizes[self.item])


@dataclass(frozen=True, eq=False)
class MeanHistoryRows:
    """As `HistoryRows`, with the mean of the history's rows in place of them; zero for an empty history."""

    with_history: HistoryRows

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """The entries' own rows, then their histories'."""
        return self.with_history.rows(positions, ids)

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """[n, F + 1, width]."""
        own_rows, with_history, present = self.with_history.split_values(values, positions, ids)
        total = values.new_zeros(len(ids), values.shape[1]).index_add(0, present.nonzero()[:, 0], with_history)
        mean = total / present.sum(1, keepdim=True).clamp(min=1)
        return torch.cat([own_rows, mean[:, None]], 1)


def with_history(fields: Sequence[str], length: int, sizes: list[int], logs: Logs) -> HistoryRows:
    """The look-up of a model that reads `length` items. Raises PlanError if the logs have another number."""
    if logs.history.shape[1] != length:
        raise PlanError(
            f"the model reads the last {length} items of a user, the logs have {logs.history.shape[1]}: set "
            "columns.history_length of the plan to the same number"
        )
    return HistoryRows(own_lookup(fields, sizes, logs), sizes, tuple(fields).index("item"), logs.history)


def require_history(model: str, history: object) -> None:
    """Raise PlanError if a model of histories is built without histories."""
    if not isinstance(history, int) or isinstance(history, bool) or history < 1:
        raise PlanError(
            f"{model}: history: given {history!r}; it reads the items a user took last: set columns.history_length to 1 or more"
        )


def encode_histories(encode: Callable[[Tensor], Tensor], table: Tensor, latest: Tensor) -> Tensor:
    """What `encode` makes of histories [B, L, width], of all users [U, d], from rows of the item `table`."""
    rows = torch.cat([table.new_zeros(1, table.shape[1]), table])
    padded = pad(latest.masked_fill(latest > len(table), 0), (0, 0, 0, -len(latest) % BLOCK))
    return torch.cat([encode(rows[part]) for part in torch.split(padded, BLOCK)])[: len(latest)]
