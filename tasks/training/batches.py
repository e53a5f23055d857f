"""Batches: the batches of each epoch of training, with their negatives."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.row_order import canonical_order
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.step import StepRows

CHUNK = 1 << 18  # rows whose negatives are drawn at once


def epoch_batches(
    model: Model, logs: Logs, training: TrainConfig, threads: ThreadPool | None = None
) -> Iterator[Iterator[StepRows]]:
    """The batches of each epoch: all rows once, in a new order. `threads`: those of compiled steps, which take many
    batches as one."""
    shuffle, negatives = logs.generator("fit/shuffle"), logs.generator("fit/negatives")
    canonical = canonical_order(logs)
    user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
    ranking = model.family == "ranking"
    user = user.contiguous() if ranking else user  # a click model does not need it, and it may have millions of rows
    positives = index_positives(user, item, logs.sizes[logs.fields.index("item")], threads) if ranking else None
    pool = item.contiguous() if training.sampling == "frequency" else None

    def epoch() -> Iterator[StepRows]:
        order = torch.randperm(len(logs), generator=shuffle)
        for chunk in torch.split(
            order, max(1, CHUNK // (training.batch_size * training.negatives)) * training.batch_size
        ):
            chunk = chunk if canonical is None else canonical.index_select(0, chunk)
            if positives is None:
                yield from map(StepRows, torch.split(chunk, training.batch_size))
                continue
            sampled, real = draw(positives, user.index_select(0, chunk), negatives, pool, training.negatives)
            if threads is not None:
                yield StepRows(chunk, sampled, real)
                continue
            reals = [None] * len(chunk) if real is None else torch.split(real, training.batch_size)
            yield from map(
                StepRows, torch.split(chunk, training.batch_size), torch.split(sampled, training.batch_size), reals
            )

    for _ in range(training.epochs):
        yield epoch()
