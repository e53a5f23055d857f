"""Histories: the items that a row's user took before it, and those each user took last when a period closed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs

NOBODY = torch.zeros(0, 2, dtype=torch.int64)


def with_histories(logs: Logs, length: int, earlier: Tensor = NOBODY) -> Logs:
    """The logs, in their own order, with `history` and `latest` of `length` items.

    A user takes the items of rows labelled above one half. A row sees what its user took at an earlier (period, time),
    never what shares its instant. `earlier` [m, 2] int64 are users and items of before these logs, oldest first, at
    least the newest `length` of each user. No item of a later row or period is in any row's history.
    """
    if not length:
        return logs
    user, item = torch.cat([earlier, logs.rows[:, :2]]).unbind(1)
    taken = torch.cat([torch.ones(len(earlier), dtype=torch.bool), logs.label > 0.5])
    order = torch.argsort(user, stable=True)  # each user's rows, oldest first
    starts, items = _of_each_user(user, item, taken, logs.sizes[0])
    before = taken[order].cumsum(0) - taken[order].long()  # items taken in the rows above
    place = torch.arange(len(order))
    first = torch.where(_new_instant(logs, user, order), place, 0).cummax(0).values  # of the row's instant
    in_logs = order >= len(earlier)
    rows = order[in_logs] - len(earlier)
    history = logs.rows.new_empty(len(logs), length)
    history[rows] = _newest(items, starts[logs.rows[rows, 0]], before[first[in_logs]], length)
    return replace(logs, history=history, latest=_newest(items, starts[:-1], starts[1:], length))


def latest_histories(logs: Logs, users: int) -> Tensor:
    """The items that each of the first `users` users took last, of logs that hold all their rows: [users, L] int64."""
    length = logs.history.shape[1]
    if not length:
        return logs.rows.new_empty(users, 0)
    starts, items = _of_each_user(logs.rows[:, 0], logs.rows[:, 1], logs.label > 0.5, users)
    return _newest(items, starts[:-1], starts[1:], length)


def _of_each_user(user: Tensor, item: Tensor, taken: Tensor, users: int) -> tuple[Tensor, Tensor]:
    """All items taken, user by user and oldest first, and where each user's begin: [users + 1], [k]."""
    users_of_taken = user[taken]
    starts = torch.zeros(users + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(users_of_taken, minlength=users).cumsum(0)
    return starts, item[taken][torch.argsort(users_of_taken, stable=True)]


def _new_instant(logs: Logs, user: Tensor, order: Tensor) -> Tensor:
    """Whether a row, in `order`, is of another user or another instant than the one above it: [m + n] bool."""
    none = torch.full((len(user) - len(logs),), -1, dtype=torch.int64)  # what came earlier is before every instant
    keys = [user, torch.cat([none, logs.periods.long()]), torch.cat([none, logs.time])]
    changed = torch.zeros(len(order), dtype=torch.bool)
    for key in (key[order] for key in keys):
        changed[1:] |= key[1:] != key[:-1]
    return changed


def _newest(items: Tensor, first: Tensor, end: Tensor, length: int) -> Tensor:
    """Of `items` [k] those from `end - length` up to `end`, newest last, -1 for any before `first`: [n, length]."""
    positions = end[:, None] + torch.arange(-length, 0)
    newest = torch.cat([items, items.new_zeros(1)])[positions.clamp(min=0)]  # one more: there may be none at all
    return torch.where(positions >= first[:, None], newest, -1)
