"""SML batches: in which order SML's two steps read the rows of a period, and their negatives."""

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
    model: Model, logs: Logs, training: TrainConfig, kind: Batches, items: Tensor, purpose: str
) -> Iterator[Iterator[StepRows]]:
    """The batches of each epoch: all rows once, in a new order. In a ranking each has a negative out of `items` [m].

    `shuffled`: any order, and each row has its own negative. `by_user`: a user's rows follow each other, and the
    negatives of a batch come from a quarter as many items, drawn for this batch. Each row still gets every item with
    the same probability, but a batch has half as many distinct rows, so that half as many go through SML's transfer.
    """
    generator = logs.generator(purpose)
    user, item = (logs.rows[:, logs.fields.index(field)].contiguous() for field in ("user", "item"))
    canonical = canonical_order(logs)
    rows = torch.arange(len(logs)) if canonical is None else canonical
    user_number = torch.unique(user[rows], return_inverse=True)[1]
    positives = (
        index_positives(user, torch.searchsorted(items, item), len(items)) if model.family == "ranking" else None
    )

    def batches(order: Tensor) -> Iterator[StepRows]:
        for batch in torch.split(order, training.batch_size):
            if positives is None:
                yield StepRows(batch)
                continue
            pool = None
            if kind == "by_user":
                pool = torch.randint(len(items), (max(len(batch) // POOL, 1),), generator=generator)
            sampled, real = draw(positives, user[batch], generator, pool)
            yield StepRows(batch, items[sampled], real)

    for _ in range(training.epochs):
        positions = torch.randperm(len(logs), generator=generator)
        if kind == "by_user":
            positions = torch.argsort(
                torch.randperm(int(user_number.max()) + 1, generator=generator)[user_number], stable=True
            )
        yield batches(rows[positions])
