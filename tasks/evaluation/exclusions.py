"""Exclusions: items that a row is not ranked against: those not seen yet, and those that its user has taken."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True)
class ItemUsers:
    """The users that took each item, and when: entries `start[i]` to `start[i + 1]` are those of item i."""

    start: Tensor  # [items + 1] int64
    user: Tensor  # [m] int32: half the bytes to read
    when: Tensor  # [m] int64: the row of the logs that took it; -1: before the logs began
    users: int  # every user is below it
    repeats: bool = False  # whether a user takes an item again: then only the row's own item is excluded

    def of(self, pool: Tensor, users: Tensor) -> tuple[Tensor, Tensor]:
        """Interactions of any of `users` with the pool's items: (position in the pool, entry), each [found]."""
        begin = self.start.index_select(0, pool)
        count = self.start.index_select(0, pool + 1) - begin
        ends = count.cumsum(0)
        entry = torch.repeat_interleave(begin - (ends - count), count)
        entry += torch.arange(len(entry))
        is_user = torch.zeros(self.users, dtype=torch.bool)
        is_user[users] = True
        hits = is_user.index_select(0, self.user.index_select(0, entry)).nonzero().flatten()  # a few per cent
        return torch.searchsorted(ends, hits, right=True), entry[hits]


def item_users(logs: Logs, taken: Tensor, repeats: bool = False) -> ItemUsers:
    """Earlier interactions (`taken` [m, 2] user and item rows) and those of the logs; with `repeats` only those of the logs."""
    items = logs.sizes[1]
    if len(taken) and (int(taken.min()) < 0 or int(taken[:, 1].max()) >= items):
        raise DataError(f"earlier interactions name rows outside the {items} items known in period {logs.period}")
    taken = taken[:0] if repeats else taken
    user = torch.cat([taken[:, 0].long(), logs.rows[:, 0]])
    item = torch.cat([taken[:, 1].long(), logs.rows[:, 1]])
    when = torch.cat([torch.full((len(taken),), -1), torch.arange(len(logs))])
    order = torch.argsort(item)
    start = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(item, minlength=items).cumsum(0)])
    return ItemUsers(start, user[order].int(), when[order], int(user.max()) + 1 if len(user) else 0, repeats)


def items_seen(logs: Logs) -> Tensor:
    """Number of items seen up to and including each row, [n] int64: the vocabulary rows below it. It never falls.

    Vocabulary rows are given in order of first sight. An item was seen if it was born in an earlier period, or if an
    item of the same or a higher row came before.
    """
    if not len(logs):
        return torch.zeros(0, dtype=torch.int64)
    before = torch.searchsorted(logs.born[1], logs.periods.to(logs.born[1].dtype))
    return torch.maximum(before, logs.rows[:, 1].cummax(0).values + 1)


def excluded_pairs(takers: ItemUsers, pool: Tensor, users: Tensor, limits: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Which items of the pool a row is not ranked against: (row in the block, position in the pool), each [found].

    `users` and `limits` [B] are the user and the number of items seen of rows `first`, `first + 1`, ... of the logs.
    Pairs come in order, once each: items not yet seen, and items that the user has taken up to and including that row;
    if users take items again, the row's own item alone.
    """
    position, entry = takers.of(pool, users)
    distinct_users, slot = torch.unique(users, return_inverse=True)
    at, when = torch.searchsorted(distinct_users, takers.user[entry].long()), takers.when[entry]
    rows_of = torch.argsort(slot, stable=True)  # rows of the block, user by user
    count = torch.bincount(slot, minlength=len(distinct_users))
    begin = count.cumsum(0) - count
    pair = torch.repeat_interleave(count[at])
    offset = torch.arange(len(pair)) - (count[at].cumsum(0) - count[at])[pair]
    row = rows_of[begin[at][pair] + offset]
    taken = when[pair] == row + first if takers.repeats else when[pair] <= row + first
    not_yet = (pool >= limits[0]).nonzero().flatten()  # limits never fall: the others were seen by all rows
    late_row, late = (pool[not_yet] >= limits[:, None]).nonzero(as_tuple=True)
    key = torch.cat([row[taken] * len(pool) + position[pair][taken], late_row * len(pool) + not_yet[late]])
    key = torch.unique(key)
    return key // len(pool), key % len(pool)
