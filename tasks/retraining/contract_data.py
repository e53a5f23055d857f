"""Practice: small made-up logs on which a strategy can be checked in a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.histories import latest, with_histories
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
    """`count` Logs, the t-th with all rows of periods 0 to t and the vocabulary of its close.

    Ids turn up and fall out of use as periods go by; likings have a structure that can be learnt. `family` ctr: labels
    0 and 1, at least one of each a period; ranking: all ones. `fields` begin with user and item. Two rows share an instant.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.cat([_ids(len(fields), t, rows, generator) for t in range(count)])
    periods = torch.arange(count, dtype=torch.int32).repeat_interleave(rows)
    codes, births = zip(*(coded(ids[:, j], periods) for j in range(len(fields))), strict=True)
    label = _labels(family, ids, rows, generator)
    values = torch.randn(len(ids), numeric, generator=generator)
    whole = Logs(
        period=count - 1, periods=periods, fields=fields, rows=torch.stack(codes, 1), numeric=values, label=label,
        time=torch.arange(len(ids)) // 2 * HOUR, sizes=tuple(len(b) for b in births), born=tuple(births), seed=seed,
    )  # fmt: skip
    told = with_histories(whole, history)
    return [until(told, t) for t in range(count)]


def until(logs: Logs, period: int) -> Logs:
    """The logs as they were at the close of an earlier period: later rows and later ids are gone."""
    keep = logs.select(logs.periods <= period)
    born = tuple(b[b <= period] for b in logs.born)
    sizes = tuple(len(b) for b in born)
    return replace(keep, period=period, sizes=sizes, born=born, latest=latest(keep, sizes[0]))


def _ids(fields: int, period: int, rows: int, generator: Generator) -> Tensor:
    """Ids [rows, fields]: a range of 12 users, 18 items, 4 of all else, that moves on by a fifth every period."""
    widths = torch.tensor([12, 18] + [4] * (fields - 2))
    drawn = (torch.rand(rows, fields, generator=generator) * widths).long()
    return drawn + period * (widths // 5)


def coded(ids: Tensor, periods: Tensor) -> tuple[Tensor, Tensor]:
    """Vocabulary rows in order of first sight, and the period each was born in."""
    values, inverse = torch.unique(ids, return_inverse=True)
    first = torch.full((len(values),), len(ids)).scatter_reduce(0, inverse, torch.arange(len(ids)), "amin")
    order = torch.argsort(first)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return place[inverse], periods[first[order]]


def _labels(family: str, ids: Tensor, rows: int, generator: Generator) -> Tensor:
    if family == "ranking":
        return torch.ones(len(ids))
    liked = 0.2 + 0.6 * ((ids[:, 0] + ids[:, 1]) % 3 == 0).float()
    label = torch.bernoulli(liked, generator=generator)
    label[::rows], label[1::rows] = 0.0, 1.0
    return label
