"""Asked: which rows of which tables several batches need, sorted so that none is made further than it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.modules.fused_tables import offsets, rows_by_field


class NeededRows(NamedTuple):
    """Rows by number of their field; of a sequence of outputs, the n-th is needed of the first `counts[n]` alone."""

    rows: dict[int, Tensor]  # [R] int64 of the fused table, those first whose last output is latest
    counts: dict[int, list[int]]
    starts: list[int]  # where each field begins in the fused table
    spots: dict[int, Tensor]  # of each batch's entries: where its row is among the n-th outputs of all fields


def needed_rows(batches: Mapping[int, Tensor], sizes: Sequence[int]) -> NeededRows:
    """What batches of rows [n] int64 of a fused table ask for, by number of the output that they are made with."""
    lengths = [len(one) for one in batches.values()]
    distinct, place = torch.unique(torch.cat(list(batches.values())), return_inverse=True)
    numbers = torch.tensor([*batches]).repeat_interleave(torch.tensor(lengths))
    deepest = torch.zeros(len(distinct), dtype=torch.int64).scatter_reduce_(0, place, numbers, "amax")
    orders, counts = {}, {}
    for field, part in rows_by_field(distinct, sizes):
        depth = deepest[part]
        orders[field] = torch.argsort(depth, descending=True, stable=True) + part.start
        counts[field] = [int((depth >= number).sum()) for number in range(max(batches) + 1)]
    spots = {}
    for number, spots_of in zip(batches, torch.split(place, lengths), strict=True):
        order = torch.cat([order[: counts[field][number]] for field, order in orders.items()])
        spot = torch.empty(len(distinct), dtype=torch.int64)
        spot[order] = torch.arange(len(order))
        spots[number] = spot[spots_of]
    rows = {field: distinct[order] for field, order in orders.items()}
    return NeededRows(rows, counts, offsets(sizes).tolist(), spots)
