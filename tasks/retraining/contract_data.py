"""Simulated logs: small periods on which a strategy can be checked in a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.histories import latest_histories, with_histories
from nightloop.tasks.data.logs import Logs

HOUR = 3_600_000_000  # microseconds


def simulated_periods(
    family: Literal["ranking", "ctr"],
    fields: tuple[str, ...] = ("user", "item"),
    numeric: int = 0,
    count: int = 5,
    rows: int = 60,
    seed: int = 0,
    history: int = 0,
) -> list[Logs]:
    """Small simulated logs, one value for the close of each period.

    Ids appear and disappear from period to period: a range of 12 users, 18 items and 4 values of every other field
    moves on by a fifth. Two rows share an instant. Labels can be learned: a click has probability 0.8 for a third of
    the pairs of user and item, and 0.2 for the others.

    Parameters
    ----------
    family : {"ranking", "ctr"}
        `ranking`: all labels are 1. `ctr`: labels are 0 and 1, at least one of each in a period.
    fields : tuple of str, default ("user", "item")
        Names of the categorical fields, user and item first.
    numeric : int, default 0
        Number of numeric columns, of which all values are random.
    count : int, default 5
        Number of periods.
    rows : int, default 60
        Rows of a period, 2 or more.
    seed : int, default 0
        Seed of all that is random.
    history : int, default 0
        Items that the user took before, kept for each row; 0: none.

    Returns
    -------
    list of Logs
        `count` values; the t-th has all rows of periods 0 to t and the vocabulary at the close of t.

    Examples
    --------
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> [(len(logs), logs.sizes[0]) for logs in simulated_periods("ranking", count=3)]  # rows and users
    [(60, 12), (120, 14), (180, 16)]
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.cat([_ids(len(fields), t, rows, generator) for t in range(count)])
    periods = torch.arange(count, dtype=torch.int32).repeat_interleave(rows)
    codes, births = zip(*(encode_ids(ids[:, j], periods) for j in range(len(fields))), strict=True)
    label = _labels(family, ids, rows, generator)
    values = torch.randn(len(ids), numeric, generator=generator)
    all_rows = Logs(
        period=count - 1, periods=periods, fields=fields, rows=torch.stack(codes, 1), numeric=values, label=label,
        time=torch.arange(len(ids)) // 2 * HOUR, sizes=tuple(len(b) for b in births), born=tuple(births), seed=seed,
    )  # fmt: skip
    logs = with_histories(all_rows, history)
    return [logs_until(logs, t) for t in range(count)]


def logs_until(logs: Logs, period: int) -> Logs:
    """The logs as they were at the close of an earlier period, without later rows and later ids."""
    keep = logs.select(logs.periods <= period)
    born = tuple(b[b <= period] for b in logs.born)
    sizes = tuple(len(b) for b in born)
    return replace(keep, period=period, sizes=sizes, born=born, latest=latest_histories(keep, sizes[0]))


def _ids(fields: int, period: int, rows: int, generator: Generator) -> Tensor:
    """Ids [rows, fields]: a range of 12 users, 18 items, 4 of all else, that moves on by a fifth every period."""
    widths = torch.tensor([12, 18] + [4] * (fields - 2))
    ids = (torch.rand(rows, fields, generator=generator) * widths).long()
    return ids + period * (widths // 5)


def encode_ids(ids: Tensor, periods: Tensor) -> tuple[Tensor, Tensor]:
    """Vocabulary rows in order of first sight, and the period each was born in."""
    values, inverse = torch.unique(ids, return_inverse=True)
    first = torch.full((len(values),), len(ids)).scatter_reduce(0, inverse, torch.arange(len(ids)), "amin")
    order = torch.argsort(first)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return rank[inverse], periods[first[order]]


def _labels(family: str, ids: Tensor, rows: int, generator: Generator) -> Tensor:
    if family == "ranking":
        return torch.ones(len(ids))
    liked = 0.2 + 0.6 * ((ids[:, 0] + ids[:, 1]) % 3 == 0).float()
    label = torch.bernoulli(liked, generator=generator)
    label[::rows], label[1::rows] = 0.0, 1.0
    return label
