"""Simulated rankings in which only the first half of the items is ever taken, all of them known from the first period on."""

from __future__ import annotations

from dataclasses import replace

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.retraining.contract_data import simulated_periods


def low_items(count: int) -> list[Logs]:
    """As `simulated_periods("ranking")`, but row n takes item n modulo half of the items."""
    periods = simulated_periods("ranking", count=count)
    items, altered = periods[-1].sizes[1], []
    for logs in periods:
        rows = logs.rows.clone()
        rows[:, 1] = torch.arange(len(rows)) % (items // 2)
        born = (logs.born[0], torch.zeros(items, dtype=torch.int32))
        altered.append(replace(logs, rows=rows, sizes=(logs.sizes[0], items), born=born))
    return altered
