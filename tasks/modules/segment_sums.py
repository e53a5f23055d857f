"""Segment sums: equal ids in groups, and sums over each group without a copy of what is summed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

RADIX = 1 << 15  # ids from which torch sorts 32-bit numbers digit by digit (at::internal::GRAIN_SIZE)


class Groups(NamedTuple):
    """Which positions hold the same id."""

    rows: Tensor  # [k] int64 distinct ids, ascending
    order: Tensor  # [n] int32 positions, group by group, ascending within each
    starts: Tensor  # [k] int32 where each group begins in `order`
    counts: Tensor  # [k] int64 size of each group


def group(ids: Tensor) -> Groups:
    """Groups of `ids` [n] int64, each in [0, 2**31), n below 2**31."""
    rows, order = _sorted(ids)
    rows, counts = torch.unique_consecutive(rows, return_counts=True)
    return Groups(rows.long(), order, (counts.cumsum(0) - counts).int(), counts)


def split_groups(groups: Groups, parts: int) -> list[Groups]:
    """The groups in `parts` consecutive parts of nearly equal numbers of groups. Positions stay those of all rows."""
    parts_of_groups, first, begin = [], 0, 0
    for rows, counts in zip(groups.rows.tensor_split(parts), groups.counts.tensor_split(parts), strict=True):
        last, end = first + len(rows), begin + int(counts.sum())
        parts_of_groups.append(Groups(rows, groups.order[begin:end], groups.starts[first:last] - begin, counts))
        first, begin = last, end
    return parts_of_groups


def sum_groups(groups: Groups, values: Tensor) -> Tensor:
    """Sum of `values` [n, w] over each group: [k, w]."""
    return embedding_bag(groups.order, values, groups.starts, mode="sum")


def _sorted(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The ids ascending, and their positions [n] int32, those of equal ids ascending.

    If there are many, torch sorts them by radix. If there are few, id and position are packed into one integer, because
    numpy sorts these several times as fast as torch. (With 160,000 ids on AMD's Zen 4 numpy takes 7 ms and torch 1.4.)
    """
    if len(ids) >= RADIX or ids.device.type != "cpu":
        rows, order = torch.sort(ids.int(), stable=True)
        return rows, order.int()
    keys = torch.from_numpy(np.sort(((ids << 32) | torch.arange(len(ids))).numpy()))
    return keys >> 32, keys.int()
