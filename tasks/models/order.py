"""Order: rows in their canonical order, so that the order they came in changes nothing that is learned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tasks.lake.logs import Logs

SPREAD = 0x1E3779B97F4A7C15  # 2**64 / golden ratio, made to fit a signed integer


def canonical_order(logs: Logs) -> Tensor | None:
    """Positions [n] int64 that bring the rows into order of (period, time, user, item, the rest); None: they are."""
    keys = [logs.periods, logs.time, logs.rows[:, 0], logs.rows[:, 1]]
    if _rising(keys):
        return None
    keys.append(_mixed(logs))
    return torch.from_numpy(np.lexsort([key.numpy() for key in reversed(keys)]))


def _rising(keys: list[Tensor]) -> bool:
    """Whether each row is greater than the one before, the first key counting most; equal rows are not."""
    greater = torch.zeros(max(len(keys[0]) - 1, 0), dtype=torch.bool)
    for key in reversed(keys):
        before, after = key[:-1], key[1:]
        greater = (after > before) | ((after == before) & greater)
    return bool(greater.all())


def _mixed(logs: Logs) -> Tensor:
    """One number a row [n] int64 that stands for all its columns: rows of equal numbers are equal rows."""
    mixed = torch.zeros(len(logs), dtype=torch.int64)
    floats = torch.cat([logs.label[:, None], logs.numeric], 1).contiguous().view(torch.int32)
    for column in (*logs.rows.unbind(1), *logs.values.unbind(1), *floats.unbind(1)):
        mixed = (mixed ^ (mixed >> 29)) * SPREAD + column
    return mixed
