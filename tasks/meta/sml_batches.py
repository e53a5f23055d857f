"""Batches: in which order SML's two steps see the rows of a period, and which items they set against them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.row_order import canonical_order
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.step import StepRows

Batches = Literal["shuffled", "by_user"]

POOL = 4  # rows to each item that the negatives of a batch by user are drawn from


def epochs(
    model: Model, logs: Logs, training: TrainConfig, kind: Batches, offered: Tensor, purpose: str
) -> Iterator[Iterator[StepRows]]:
    """For each epoch its steps: all rows once, in a new order, a ranking's each with a negative of `offered` [m].

    `shuffled`: any order, a negative of its own for each row. `by_user`: a user's rows follow each other, and the
    negatives of a batch are drawn from a quarter as many items, drawn for it. Each row still meets every item with the
    same chance, but a batch holds half as many distinct rows: half as many go through SML's transfer.
    """
    generator = logs.generator(purpose)
    user, item = (logs.rows[:, logs.fields.index(field)].contiguous() for field in ("user", "item"))
    canonical = canonical_order(logs)
    rows = torch.arange(len(logs)) if canonical is None else canonical
    who = torch.unique(user[rows], return_inverse=True)[1]
    positives = (
        index_positives(user, torch.searchsorted(offered, item), len(offered)) if model.family == "ranking" else None
    )

    def steps(order: Tensor) -> Iterator[StepRows]:
        for batch in torch.split(order, training.batch_size):
            if positives is None:
                yield StepRows(batch)
                continue
            pool = None
            if kind == "by_user":
                pool = torch.randint(len(offered), (max(len(batch) // POOL, 1),), generator=generator)
            drawn, real = draw(positives, user[batch], generator, pool)
            yield StepRows(batch, offered[drawn], real)

    for _ in range(training.epochs):
        places = torch.randperm(len(logs), generator=generator)
        if kind == "by_user":
            places = torch.argsort(torch.randperm(int(who.max()) + 1, generator=generator)[who], stable=True)
        yield steps(rows[places])
