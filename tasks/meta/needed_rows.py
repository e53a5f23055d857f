"""Needed rows: which rows of which tables several batches need, and up to which output of the sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.modules.fused_tables import offsets, rows_by_field


class NeededRows(NamedTuple):
    """Rows by number of their field. The n-th output is needed only for the first `counts[n]` of them."""

    rows: dict[int, Tensor]  # [R] int64 of the fused table, those first whose last output is latest
    counts: dict[int, list[int]]
    starts: list[int]  # where each field begins in the fused table
    positions: dict[int, Tensor]  # of each batch's entries: where its row is among the n-th outputs of all fields


def needed_rows(batches: Mapping[int, Tensor], sizes: Sequence[int]) -> NeededRows:
    """The rows that batches need. `batches` are rows [n] int64 of a fused table, by number of the output they use."""
    lengths = [len(one) for one in batches.values()]
    distinct, position = torch.unique(torch.cat(list(batches.values())), return_inverse=True)
    numbers = torch.tensor([*batches]).repeat_interleave(torch.tensor(lengths))
    latest = torch.zeros(len(distinct), dtype=torch.int64).scatter_reduce_(0, position, numbers, "amax")
    orders, counts = {}, {}
    for field, part in rows_by_field(distinct, sizes):
        last_output = latest[part]
        orders[field] = torch.argsort(last_output, descending=True, stable=True) + part.start
        counts[field] = [int((last_output >= number).sum()) for number in range(max(batches) + 1)]
    positions = {}
    for number, entries in zip(batches, torch.split(position, lengths), strict=True):
        order = torch.cat([order[: counts[field][number]] for field, order in orders.items()])
        place_of = torch.empty(len(distinct), dtype=torch.int64)
        place_of[order] = torch.arange(len(order))
        positions[number] = place_of[entries]
    rows = {field: distinct[order] for field, order in orders.items()}
    return NeededRows(rows, counts, offsets(sizes).tolist(), positions)
