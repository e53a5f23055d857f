"""Step: one training step of any model with any loss: its rows, its gradient and its update of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.mlp import dropout
from nightloop.tasks.modules.fused_tables import offsets
from nightloop.tasks.modules.lookup import lookup, occurrences, own_close, own_rows
from nightloop.tasks.modules.loss import Batch, Loss
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.segment_sums import Groups, group, split_groups, sum_groups
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.process_group import divide
from nightloop.tasks.training.train_state import TrainState

PART = 512  # fewest rows for which splitting a batch saves time


class StepRows(NamedTuple):
    """Rows of one step: positions [b] in the logs. A ranking also has K negative items for each, and which are real."""

    positions: Tensor
    negatives: Tensor | None = None  # [b, K]
    real: Tensor | None = None  # [b, K]; None: all


Step = Callable[[StepRows], Tensor]  # changes the weights and returns the loss


class PartialGradient(NamedTuple):
    """The loss of a part of a step, weighted by the part's share of the rows, and its gradient."""

    loss: Tensor
    fused: Tensor  # [m] int64 rows of the fused table that the part looked up, repeated or not
    values: Tensor | None  # [m, w] gradient of each; None: the loss does not depend on them
    flat: Tensor | None  # of all dense weights
    occurring: Tensor  # [o] int64 rows of the fused table, once for each time that a penalty counts them


def autograd_step(
    model: Model,
    run: TrainState,
    logs: Logs,
    training: TrainConfig,
    loss: Loss,
    regularizer: Regularizer,
    threads: ThreadPool,
) -> Step:
    """The step of any model with any loss, by autograd."""
    look = lookup(model, run.sizes, logs, own_close(logs))

    def drop_hidden(rows: StepRows) -> AbstractContextManager[object]:
        """Dropout for a part. Its first and last row tell it from all others, whatever the number of threads."""
        if not training.dropout:
            return nullcontext()
        ends = f"{int(rows.positions[0])}/{int(rows.positions[-1])}"
        return dropout(training.dropout, logs.generator(f"fit/dropout/{ends}"))

    def compute_gradient(rows: StepRows, share: float) -> PartialGradient:
        positions, label, ids = step_entries(model, logs, rows)
        fused = look.rows(positions, ids)
        values = take_rows(run.table, fused).requires_grad_()
        embedded = look.embedded(values, positions, ids)
        flat = run.flat.detach().requires_grad_()
        with autocast(run.table.device.type, training), drop_hidden(rows):
            logits = model.logits(embedded, logs.numeric[positions], run.dense(flat)).float()
        batch = Batch(logits, label, positions, ids, embedded, len(rows.positions), positive_of_entries(rows))
        value = share * loss(batch)
        of_values, of_flat = torch.autograd.grad(value, [values, flat], allow_unused=True)
        return PartialGradient(value.detach(), fused, of_values, of_flat, occurring_rows(model, rows, ids, run.sizes))

    return parallel_step(compute_gradient, run, regularizer, threads)


def autocast(device: str, training: TrainConfig) -> AbstractContextManager[None]:
    """The precision of the settings, for the products of the layers."""
    return torch.autocast(device, torch.bfloat16) if training.precision == "bfloat16" else nullcontext()


def parallel_step(
    compute_gradient: Callable[[StepRows, float], PartialGradient],
    run: TrainState,
    regularizer: Regularizer,
    threads: ThreadPool,
    least: int = PART,
) -> Step:
    """A step whose rows are split into parts of `least` or more, one for each thread.

    `compute_gradient` gets the rows of a part and their share of all rows of the step.
    """

    def update_dense(gradients: Sequence[PartialGradient]) -> None:
        flats = [part.flat for part in gradients if part.flat is not None]
        if flats:
            run.adam.step(run.flat, regularizer.add_flat_gradient(reduce(torch.add, flats), run.flat))

    def group_rows(gradients: Sequence[PartialGradient]) -> tuple[Groups, Tensor, Tensor] | None:
        """Groups of equal rows of the table, the gradients of all entries, and how often each row occurs."""
        values = [part.values for part in gradients if part.values is not None]
        if not values:
            return None
        groups = group(_concatenate([part.fused for part in gradients]))
        times = groups.counts  # used only by a penalty on rows
        if regularizer.has_row_penalty:
            times = occurrences(groups.rows, _concatenate([part.occurring for part in gradients]))
        return groups, _concatenate(values), times

    def step(rows: StepRows) -> Tensor:
        count = len(rows.positions)
        parts = split_rows(rows, threads, least)
        gradients = divide(lambda part: compute_gradient(*part), parts, threads.map, PartialGradient)
        grouped = threads.map(lambda work: work(gradients), (update_dense, group_rows))[1]  # both at the same time
        if grouped is not None:
            groups, gradient, times = grouped

            def update_rows(part: Groups, times: Tensor) -> None:
                summed = sum_groups(part, gradient).mul_(count)
                regularizer.add_row_gradient(summed, run.table, part.rows, times)
                run.rows.step(run.table, part.rows, summed)

            threads.map(
                lambda part: update_rows(*part),
                zip(split_groups(groups, len(parts)), torch.tensor_split(times, len(parts)), strict=True),
            )
        return reduce(torch.add, [part.loss for part in gradients])

    return step


def step_entries(model: Model, logs: Logs, rows: StepRows) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [n], labels [n] and vocabulary rows [n, F] of a step, the negatives after the positives."""
    ids = logs.rows.index_select(0, rows.positions)
    if model.fields != logs.fields:
        ids = ids[:, [logs.fields.index(field) for field in model.fields]]
    label = logs.label[rows.positions]
    if rows.negatives is None:
        return rows.positions, label, ids
    count = rows.negatives.shape[1]
    other = ids.repeat_interleave(count, 0)
    other[:, model.fields.index("item")] = rows.negatives.flatten()
    keep = slice(None) if rows.real is None else rows.real.flatten()
    other, positions = other[keep], rows.positions.repeat_interleave(count)[keep]
    return (
        torch.cat([rows.positions, positions]),
        torch.cat([label, torch.zeros(len(positions))]),
        torch.cat([ids, other]),
    )


def positive_of_entries(rows: StepRows) -> Tensor | None:
    """Of each entry of `step_entries` the number of its positive: [n] int64; None without negatives."""
    if rows.negatives is None:
        return None
    own = torch.arange(len(rows.positions))
    of = own.repeat_interleave(rows.negatives.shape[1])
    return torch.cat([own, of if rows.real is None else of[rows.real.flatten()]])


def occurring_rows(model: Model, rows: StepRows, ids: Tensor, sizes: list[int]) -> Tensor:
    """Rows of the fused table in the entries `ids` [n, F], once for each time that a penalty counts them.

    A negative adds only its item: its user occurs once for a positive, whatever the number of negatives.
    """
    if rows.negatives is None:
        return own_rows(ids, sizes)
    count, item = len(rows.positions), model.fields.index("item")
    return torch.cat([own_rows(ids[:count], sizes), ids[count:, item] + offsets(sizes)[item]])


def split_rows(rows: StepRows, threads: ThreadPool, least: int = PART) -> list[tuple[StepRows, float]]:
    """The rows in at most `threads.parts` parts of `least` rows or more, each with its share of all rows."""
    count = len(rows.positions)
    parts = max(1, min(threads.parts, count // least))
    if parts == 1:
        return [(rows, 1.0)]
    pieces = [[None] * parts if tensor is None else torch.tensor_split(tensor, parts) for tensor in rows]
    return [(part, len(part.positions) / count) for part in (StepRows(*piece) for piece in zip(*pieces, strict=True))]


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    """The tensors concatenated; a single one is not copied."""
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(list(parts))
