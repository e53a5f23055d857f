"""Concurrent: the training of ASMG's generator, where all outputs of a window are judged at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.generator import GeneratedRows, Generator
from nightloop.tasks.meta.meta_state import MetaState
from nightloop.tasks.meta.needed_rows import NeededRows, needed_rows
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import PREFIX, fuse, table_sizes
from nightloop.tasks.modules.lookup import close_before, lookup
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.malloc import reuse_freed_memory
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.progress import report_progress
from nightloop.tasks.modules.row_order import canonical_order
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.modules.threads import ThreadPool, thread_pool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.step import StepRows, step_entries


@dataclass(frozen=True)
class TrainingWindow:
    """A window of weights, oldest first, the hidden states it begins at, and for each weight the rows that judge it."""

    sequence: Sequence[Weights]
    hidden: Weights  # constant; of a Linear generator: none
    targets: Sequence[Logs]  # of the period after each weight
    shares: Sequence[float]  # of each target's loss in the whole; those of nought are not looked at


def learn_generator(
    model: Model, generator: Generator, meta: MetaState, lesson: TrainingWindow, training: TrainConfig
) -> MetaState:
    """argmin sum_i share_i L(M(weights up to i) | target_i) + l2 / 2 |parameters|^2, by Adam at `training.lr`.

    A step takes one batch of every target; the newest gives `training.batch_size` rows a batch, the others are dealt out
    over as many batches. Only rows of the tables that occur are generated: loss and gradient are those of the whole
    tables. A ranking's negatives, one a positive, are uniform over the items that were known when the target closed,
    without the user's. Without rows in the newest target nothing is learned. Source: ASMG (Peng et al. 2021), section
    4.3, and its code. Raises ValueError if the loss diverges.
    """
    if not len(lesson.targets[-1]):
        return meta
    flat, adam = meta.flat(), meta.adam(training.lr)
    value, done, total = torch.zeros(()), 0, len(lesson.targets[-1]) * training.epochs
    tables = [fuse(weights, model.fields) for weights in lesson.sequence]
    with reuse_freed_memory(), thread_pool() as threads:
        for draws in _batches(model, lesson, training):
            value, slopes = losses_and_gradients(model, generator, meta.shaped(flat), lesson, tables, draws, threads)
            gradient = torch.cat([slopes[name].flatten() for name in meta.parameters])
            adam.step(flat, gradient.add_(flat, alpha=training.l2))
            done += len(draws[max(draws)].positions)
            report_progress(done, total)
    return meta.finish_run(flat, adam, value, "the generator")


def losses_and_gradients(
    model: Model,
    generator: Generator,
    parameters: Weights,
    lesson: TrainingWindow,
    tables: Sequence[Tensor],
    draws: Mapping[int, StepRows],
    threads: ThreadPool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the targets' losses on a batch each, and its gradient by name of the parameters.

    `draws` are by number of the target; `tables` are the sequence's, fused (`tables.fuse`).
    """
    sizes = table_sizes(model, lesson.sequence[-1])
    taken = {number: step_entries(model, lesson.targets[number], rows) for number, rows in draws.items()}
    targets = {number: lesson.targets[number] for number in draws}
    looks = {number: lookup(model, sizes, logs, close_before(logs)) for number, logs in targets.items()}
    wanted = needed_rows({number: looks[number].rows(at, ids) for number, (at, _, ids) in taken.items()}, sizes)
    rows = _rows(generator, parameters, lesson, tables, wanted, threads)
    towers = generator.dense(parameters, lesson.sequence, lesson.hidden)
    slopes = {name: [torch.zeros_like(one) for one in made.outputs] for name, made in {**rows, **towers}.items()}

    def judge(number: int) -> Tensor:
        """The loss of one target; its slopes are put in their place."""
        positions, label, ids = taken[number]
        outputs = {name: made.outputs[number].detach() for name, made in {**rows, **towers}.items()}
        values = torch.cat([outputs[name] for name in rows])[wanted.spots[number]].requires_grad_()
        embedded = looks[number].embedded(values, positions, ids)
        dense = {name: outputs[name].view(lesson.sequence[0][name].shape).requires_grad_() for name in towers}
        logits = model.logits(embedded, lesson.targets[number].numeric[positions], dense)
        batch = Batch(logits, label, positions, ids, embedded, len(draws[number].positions))
        loss = lesson.shares[number] * cross_entropy(batch)
        of_rows, *of_dense = torch.autograd.grad(loss, [values, *dense.values()], allow_unused=True)
        summed = torch.zeros(sum(len(outputs[name]) for name in rows), values.shape[1])
        summed.index_add_(0, wanted.spots[number], of_rows)
        parts = torch.split(summed, [len(outputs[name]) for name in rows])
        for name, slope in zip([*rows, *dense], [*parts, *of_dense], strict=True):
            slopes[name][number] = slopes[name][number] if slope is None else slope.reshape(outputs[name].shape)
        return loss.detach()

    value = reduce(torch.add, threads.map(judge, taken), torch.zeros(()))
    return value, _gradient(generator, parameters, {**rows, **towers}, slopes, threads)


def _rows(
    generator: Generator,
    parameters: Weights,
    lesson: TrainingWindow,
    tables: Sequence[Tensor],
    wanted: NeededRows,
    threads: ThreadPool,
) -> dict[str, GeneratedRows]:
    """What is made of the rows of each table that are asked for, by field."""
    found = {}
    for number, rows in wanted.rows.items():
        field, counts = generator.fields[number], wanted.counts[number]
        needed = [*counts, *[counts[-1]] * (len(tables) - len(counts))]
        sequence = [take_rows(table, rows[:count]) for table, count in zip(tables, needed, strict=True)]
        hidden = lesson.hidden.get(PREFIX + field)
        state = None if hidden is None else hidden.index_select(0, rows - wanted.starts[number])
        found[field] = generator.rows(parameters, field, sequence, state, threads)
    return found


def _gradient(
    generator: Generator,
    parameters: Weights,
    made: Mapping[str, GeneratedRows],
    slopes: Mapping[str, Sequence[Tensor]],
    threads: ThreadPool,
) -> dict[str, Tensor]:
    """The gradient of all parameters, those of tables without a row in the batch included."""
    found = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    for name, one in made.items():
        found |= generator.gradients(parameters, name, one, slopes[name], threads)
    return found


def _batches(model: Model, lesson: TrainingWindow, training: TrainConfig) -> Iterator[dict[int, StepRows]]:
    """For each step a draw of every target that has a share and rows left."""
    last, newest = len(lesson.targets) - 1, lesson.targets[-1]
    count = ceil(len(newest) / training.batch_size)
    dealt = {
        number: _target_batches(model, logs, training, 0 if number == last else count, f"asmg/{newest.period}")
        for number, (logs, share) in enumerate(zip(lesson.targets, lesson.shares, strict=True))
        if share
    }
    for _ in range(training.epochs * count):
        drawn = {number: next(draws) for number, draws in dealt.items()}
        yield {number: one for number, one in drawn.items() if one is not None}


def _target_batches(
    model: Model, logs: Logs, training: TrainConfig, count: int, purpose: str
) -> Iterator[StepRows | None]:
    """One target's draws, in a new order each epoch: `count` an epoch, or, with 0, of `training.batch_size` rows each."""
    generator, canonical = logs.generator(purpose), canonical_order(logs)
    user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
    born = logs.born[logs.fields.index("item")]
    ranking = model.family == "ranking" and len(logs)
    positives = index_positives(user, item, int((born <= logs.period).sum())) if ranking else None
    for _ in range(training.epochs):
        order = torch.randperm(len(logs), generator=generator)
        order = order if canonical is None else canonical[order]
        for rows in torch.tensor_split(order, count) if count else torch.split(order, training.batch_size):
            if not len(rows) or positives is None:
                yield StepRows(rows) if len(rows) else None
            else:
                yield StepRows(rows, *draw(positives, user[rows], generator))
