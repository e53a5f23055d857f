"""Row order: rows in a canonical order, so that the order in which they arrived does not change the result of training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs

SPREAD = 0x1E3779B97F4A7C15  # 2**64 / golden ratio, made to fit a signed integer
CHUNK = 1 << 18  # rows looked at in full at once


def canonical_order(logs: Logs) -> Tensor | None:
    """Positions [n] int64 that sort the rows by (period, time, user, item, the rest). None: they are sorted already.

    Only rows that share their (period, time) are sorted; the order of all others is given by it.
    """
    tied = _find_ties(logs.periods, logs.time)
    keys = [logs.periods[tied], logs.time[tied], logs.rows[tied, 0], logs.rows[tied, 1]]
    if _is_ascending(keys):
        return None
    keys.append(torch.cat([_hash_rows(logs, part) for part in torch.split(tied, CHUNK)]))
    order = torch.arange(len(logs))
    order[tied] = tied[torch.from_numpy(np.lexsort([key.numpy() for key in reversed(keys)]))]
    return order


def _find_ties(periods: Tensor, time: Tensor) -> Tensor:
    """Positions [k] of rows with the same (period, time) as a neighbour; of all rows if (period, time) is not ascending."""
    same_period = periods[1:] == periods[:-1]
    if not bool(((periods[1:] > periods[:-1]) | (same_period & (time[1:] >= time[:-1]))).all()):
        return torch.arange(len(periods))
    same, tied = same_period & (time[1:] == time[:-1]), torch.zeros(len(periods), dtype=torch.bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied.nonzero().flatten()


def _is_ascending(keys: list[Tensor]) -> bool:
    """Whether each row is greater than the one before, the first key counting most; equal rows are not."""
    greater = torch.zeros(max(len(keys[0]) - 1, 0), dtype=torch.bool)
    for key in reversed(keys):
        before, after = key[:-1], key[1:]
        greater = (after > before) | ((after == before) & greater)
    return bool(greater.all())


def _hash_rows(logs: Logs, part: Tensor) -> Tensor:
    """A hash [k] int64 of all columns of each of the rows `part`: equal for equal rows."""
    hashes = torch.zeros(len(part), dtype=torch.int64)
    floats = torch.cat([logs.label[part, None], logs.numeric[part]], 1).contiguous().view(torch.int32)
    for column in (*logs.rows[part].unbind(1), *logs.values[part].unbind(1), *floats.unbind(1)):
        hashes = (hashes ^ (hashes >> 29)) * SPREAD + column
    return hashes
