"""Order: rows in their canonical order, so that the order they came in changes nothing that is learned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs

SPREAD = 0x1E3779B97F4A7C15  # 2**64 / golden ratio, made to fit a signed integer
CHUNK = 1 << 18  # rows looked at in full at once


def canonical_order(logs: Logs) -> Tensor | None:
    """Positions [n] int64 that bring the rows into order of (period, time, user, item, the rest); None: they are.

    Rows that (period, time) puts in their places stay there: only those that share an instant are sorted.
    """
    tied = _tied(logs.periods, logs.time)
    keys = [logs.periods[tied], logs.time[tied], logs.rows[tied, 0], logs.rows[tied, 1]]
    if _rising(keys):
        return None
    keys.append(torch.cat([_mixed(logs, part) for part in torch.split(tied, CHUNK)]))
    order = torch.arange(len(logs))
    order[tied] = tied[torch.from_numpy(np.lexsort([key.numpy() for key in reversed(keys)]))]
    return order


def _tied(periods: Tensor, time: Tensor) -> Tensor:
    """Positions [k] of rows in the same (period, time) as a neighbour; of all rows where it falls somewhere."""
    one = periods[1:] == periods[:-1]
    if not bool(((periods[1:] > periods[:-1]) | (one & (time[1:] >= time[:-1]))).all()):
        return torch.arange(len(periods))
    same, tied = one & (time[1:] == time[:-1]), torch.zeros(len(periods), dtype=torch.bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied.nonzero().flatten()


def _rising(keys: list[Tensor]) -> bool:
    """Whether each row is greater than the one before, the first key counting most; equal rows are not."""
    greater = torch.zeros(max(len(keys[0]) - 1, 0), dtype=torch.bool)
    for key in reversed(keys):
        before, after = key[:-1], key[1:]
        greater = (after > before) | ((after == before) & greater)
    return bool(greater.all())


def _mixed(logs: Logs, part: Tensor) -> Tensor:
    """One number [k] int64 for each of the rows `part` that stands for all its columns: equal where the rows are."""
    mixed = torch.zeros(len(part), dtype=torch.int64)
    floats = torch.cat([logs.label[part, None], logs.numeric[part]], 1).contiguous().view(torch.int32)
    for column in (*logs.rows[part].unbind(1), *logs.values[part].unbind(1), *floats.unbind(1)):
        mixed = (mixed ^ (mixed >> 29)) * SPREAD + column
    return mixed
