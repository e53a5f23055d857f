"""Generator training: how ASMG's generator learns from the losses of all outputs of a window at once."""

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
    """A window of weights, oldest first, the hidden states before it, and for each weight the rows of its loss."""

    sequence: Sequence[Weights]
    hidden: Weights  # constant; of a Linear generator: none
    targets: Sequence[Logs]  # of the period after each weight
    shares: Sequence[float]  # weight of each target's loss; targets of weight zero are not read


def learn_generator(
    model: Model, generator: Generator, meta: MetaState, window: TrainingWindow, training: TrainConfig
) -> MetaState:
    """argmin sum_i share_i L(M(weights up to i) | target_i) + l2 / 2 |parameters|^2, by Adam at `training.lr`.

    A step takes one batch of every target. The newest target gives `training.batch_size` rows a batch, the others are
    split into as many batches. Only rows of the tables that occur are generated; loss and gradient are those of the
    whole tables. A ranking has one negative for each positive, uniform over the items that were known when the target
    closed, without the user's. If the newest target has no rows, nothing is learned. Source: ASMG (Peng et al. 2021),
    section 4.3, and its code. Raises DataError if the loss diverges.
    """
    if not len(window.targets[-1]):
        return meta
    flat, adam = meta.flat(), meta.adam(training.lr)
    value, done, total = torch.zeros(()), 0, len(window.targets[-1]) * training.epochs
    tables = [fuse(weights, model.fields) for weights in window.sequence]
    with reuse_freed_memory(), thread_pool() as threads:
        for batches in _batches(model, window, training):
            value, gradients = losses_and_gradients(
                model, generator, meta.unflatten(flat), window, tables, batches, threads
            )
            gradient = torch.cat([gradients[name].flatten() for name in meta.parameters])
            adam.step(flat, gradient.add_(flat, alpha=training.l2))
            done += len(batches[max(batches)].positions)
            report_progress(done, total)
    return meta.finish_run(flat, adam, value, "the generator")


def losses_and_gradients(
    model: Model,
    generator: Generator,
    parameters: Weights,
    window: TrainingWindow,
    tables: Sequence[Tensor],
    batches: Mapping[int, StepRows],
    threads: ThreadPool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the targets' losses on a batch each, and its gradient by name of the parameters.

    `batches` are by number of the target. `tables` are the sequence's fused tables (`fused_tables.fuse`).
    """
    sizes = table_sizes(model, window.sequence[-1])
    entries = {number: step_entries(model, window.targets[number], rows) for number, rows in batches.items()}
    targets = {number: window.targets[number] for number in batches}
    looks = {number: lookup(model, sizes, logs, close_before(logs)) for number, logs in targets.items()}
    needed = needed_rows({number: looks[number].rows(at, ids) for number, (at, _, ids) in entries.items()}, sizes)
    rows = _rows(generator, parameters, window, tables, needed, threads)
    dense_outputs = generator.dense(parameters, window.sequence, window.hidden)
    output_gradients = {
        name: [torch.zeros_like(output) for output in generated.outputs]
        for name, generated in {**rows, **dense_outputs}.items()
    }

    def compute_loss(number: int) -> Tensor:
        """The loss of one target. Its gradients are written to `output_gradients`."""
        positions, label, ids = entries[number]
        outputs = {name: generated.outputs[number].detach() for name, generated in {**rows, **dense_outputs}.items()}
        values = torch.cat([outputs[name] for name in rows])[needed.positions[number]].requires_grad_()
        embedded = looks[number].embedded(values, positions, ids)
        dense = {name: outputs[name].view(window.sequence[0][name].shape).requires_grad_() for name in dense_outputs}
        logits = model.logits(embedded, window.targets[number].numeric[positions], dense)
        batch = Batch(logits, label, positions, ids, embedded, len(batches[number].positions))
        loss = window.shares[number] * cross_entropy(batch)
        row_gradients, *dense_gradients = torch.autograd.grad(loss, [values, *dense.values()], allow_unused=True)
        summed = torch.zeros(sum(len(outputs[name]) for name in rows), values.shape[1])
        summed.index_add_(0, needed.positions[number], row_gradients)
        parts = torch.split(summed, [len(outputs[name]) for name in rows])
        for name, gradient in zip([*rows, *dense], [*parts, *dense_gradients], strict=True):
            output_gradients[name][number] = (
                output_gradients[name][number] if gradient is None else gradient.reshape(outputs[name].shape)
            )
        return loss.detach()

    value = reduce(torch.add, threads.map(compute_loss, entries), torch.zeros(()))
    return value, _gradient(generator, parameters, {**rows, **dense_outputs}, output_gradients, threads)


def _rows(
    generator: Generator,
    parameters: Weights,
    window: TrainingWindow,
    tables: Sequence[Tensor],
    needed: NeededRows,
    threads: ThreadPool,
) -> dict[str, GeneratedRows]:
    """The outputs for the needed rows of each table, by field."""
    generated = {}
    for number, rows in needed.rows.items():
        field, counts = generator.fields[number], needed.counts[number]
        lengths = [*counts, *[counts[-1]] * (len(tables) - len(counts))]
        sequence = [take_rows(table, rows[:count]) for table, count in zip(tables, lengths, strict=True)]
        hidden = window.hidden.get(PREFIX + field)
        state = None if hidden is None else hidden.index_select(0, rows - needed.starts[number])
        generated[field] = generator.rows(parameters, field, sequence, state, threads)
    return generated


def _gradient(
    generator: Generator,
    parameters: Weights,
    generated: Mapping[str, GeneratedRows],
    output_gradients: Mapping[str, Sequence[Tensor]],
    threads: ThreadPool,
) -> dict[str, Tensor]:
    """The gradient of all parameters. It is zero for tables without a row in the batch."""
    gradients = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    for name, rows in generated.items():
        gradients |= generator.gradients(parameters, name, rows, output_gradients[name], threads)
    return gradients


def _batches(model: Model, window: TrainingWindow, training: TrainConfig) -> Iterator[dict[int, StepRows]]:
    """For each step a batch of every target that has a share and rows left."""
    last, newest = len(window.targets) - 1, window.targets[-1]
    count = ceil(len(newest) / training.batch_size)
    by_target = {
        number: _target_batches(model, logs, training, 0 if number == last else count, f"asmg/{newest.period}")
        for number, (logs, share) in enumerate(zip(window.targets, window.shares, strict=True))
        if share
    }
    for _ in range(training.epochs * count):
        batches = {number: next(target_batches) for number, target_batches in by_target.items()}
        yield {number: rows for number, rows in batches.items() if rows is not None}


def _target_batches(
    model: Model, logs: Logs, training: TrainConfig, count: int, purpose: str
) -> Iterator[StepRows | None]:
    """One target's batches, in a new order each epoch: `count` an epoch; if it is 0, of `training.batch_size` rows each."""
    generator, canonical = logs.generator(purpose), canonical_order(logs)
    user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
    births = logs.born[logs.fields.index("item")]
    ranking = model.family == "ranking" and len(logs)
    positives = index_positives(user, item, int((births <= logs.period).sum())) if ranking else None
    for _ in range(training.epochs):
        order = torch.randperm(len(logs), generator=generator)
        order = order if canonical is None else canonical[order]
        for rows in torch.tensor_split(order, count) if count else torch.split(order, training.batch_size):
            if not len(rows) or positives is None:
                yield StepRows(rows) if len(rows) else None
            else:
                yield StepRows(rows, *draw(positives, user[rows], generator))
