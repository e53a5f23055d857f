"""Step: what one training step of any model under any loss reads, and how it moves what is learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.lookup import lookup, occurrences, own_close
from nightloop.tasks.modules.loss import Batch, Loss
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.segment_sums import Groups, group, split_groups, sum_groups
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import Precision
from nightloop.tasks.training.train_state import TrainState

PART = 512  # rows that are worth a part of their own


class StepRows(NamedTuple):
    """Rows of one step: positions [b] in the logs, and in a ranking a negative item for each, and which are real."""

    positions: Tensor
    negatives: Tensor | None = None
    real: Tensor | None = None


Step = Callable[[StepRows], Tensor]  # changes what is learned, returns its loss


class PartialGradient(NamedTuple):
    """The loss of a part of a step, as it counts in the whole, and its gradient."""

    loss: Tensor
    fused: Tensor  # [m] int64 rows of the fused table that the part looked up, repeated or not
    values: Tensor | None  # [m, w] gradient of each; None: the loss depends on none
    flat: Tensor | None  # of all dense weights
    ids: Tensor  # [n, F] vocabulary rows of its entries


def autograd_step(
    model: Model, run: TrainState, logs: Logs, precision: Precision, loss: Loss, drawn: Regularizer, crew: ThreadPool
) -> Step:
    """The step of any model under any loss."""
    look = lookup(model, run.sizes, logs, own_close(logs))

    def compute_gradient(rows: StepRows, share: float) -> PartialGradient:
        positions, label, ids = step_entries(model, logs, rows)
        fused = look.rows(positions, ids)
        values = take_rows(run.table, fused).requires_grad_()
        embedded = look.embedded(values, positions, ids)
        flat = run.flat.detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model.logits(embedded, logs.numeric[positions], run.dense(flat)).float()
        value = share * loss(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
        of_values, of_flat = torch.autograd.grad(value, [values, flat], allow_unused=True)
        return PartialGradient(value.detach(), fused, of_values, of_flat, ids)

    return parallel_step(compute_gradient, run, drawn, crew)


def parallel_step(
    compute_gradient: Callable[[StepRows, float], PartialGradient],
    run: TrainState,
    drawn: Regularizer,
    crew: ThreadPool,
    least: int = PART,
) -> Step:
    """A step whose rows are dealt to the crew in parts of `least` or more.

    `compute_gradient` is asked for that of a part's rows, as it counts in the whole, of which they are a share.
    """

    def move_dense(found: Sequence[PartialGradient]) -> None:
        slopes = [one.flat for one in found if one.flat is not None]
        if slopes:
            run.adam.step(run.flat, drawn.draw_flat(reduce(torch.add, slopes), run.flat))

    def grouped(found: Sequence[PartialGradient]) -> tuple[Groups, Tensor, Tensor] | None:
        """Equal rows of the table together, the gradients of all entries, and how often each row occurs."""
        values = [one.values for one in found if one.values is not None]
        if not values:
            return None
        groups = group(_joined([one.fused for one in found]))
        times = groups.counts  # nobody reads them unless weights are drawn somewhere
        if drawn.has_row_penalty:
            times = occurrences(groups.rows, _joined([one.ids for one in found]), run.sizes)
        return groups, _joined(values), times

    def step(rows: StepRows) -> Tensor:
        count = len(rows.positions)
        found = crew.map(lambda part: compute_gradient(*part), split_rows(rows, crew, least))
        together = crew.map(lambda work: work(found), (move_dense, grouped))[1]  # neither waits for the other
        if together is not None:
            groups, gradient, times = together

            def move(part: Groups, times: Tensor) -> None:
                summed = sum_groups(part, gradient).mul_(count)
                drawn.draw_rows(summed, run.table, part.rows, times)
                run.rows.step(run.table, part.rows, summed)

            parts = len(found)
            crew.map(
                lambda part: move(*part),
                zip(split_groups(groups, parts), torch.tensor_split(times, parts), strict=True),
            )
        return reduce(torch.add, [one.loss for one in found])

    return step


def step_entries(model: Model, logs: Logs, rows: StepRows) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [n], labels [n] and vocabulary rows [n, F] of a step, the negatives after the positives."""
    ids = logs.rows.index_select(0, rows.positions)
    if model.fields != logs.fields:
        ids = ids[:, [logs.fields.index(field) for field in model.fields]]
    label = logs.label[rows.positions]
    if rows.negatives is None:
        return rows.positions, label, ids
    other = ids.clone()
    other[:, model.fields.index("item")] = rows.negatives
    keep = slice(None) if rows.real is None else rows.real
    positions = torch.cat([rows.positions, rows.positions[keep]])
    return positions, torch.cat([label, torch.zeros_like(label)[keep]]), torch.cat([ids, other[keep]])


def split_rows(rows: StepRows, crew: ThreadPool, least: int = PART) -> list[tuple[StepRows, float]]:
    """The rows in as many parts as the crew takes, or fewer of `least` rows, each with its share of them all."""
    count = len(rows.positions)
    parts = max(1, min(crew.parts, count // least))
    if parts == 1:
        return [(rows, 1.0)]
    pieces = [[None] * parts if tensor is None else torch.tensor_split(tensor, parts) for tensor in rows]
    return [(part, len(part.positions) / count) for part in (StepRows(*piece) for piece in zip(*pieces, strict=True))]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """One under the other; a single one without a copy."""
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(list(parts))
