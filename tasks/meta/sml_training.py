"""SML training: the two steps of SML. The loss is that of the weights that the transfer makes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import reduce
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.meta_state import MetaState
from nightloop.tasks.meta.sml_batches import Batches, epochs
from nightloop.tasks.meta.transfer_set import TransferSet
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import dense_names, fuse, rows_by_field, table_sizes
from nightloop.tasks.modules.lookup import close_before, lookup, own_close
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.malloc import reuse_freed_memory
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import regularizer_of
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.modules.threads import ThreadPool, thread_pool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import train
from nightloop.tasks.training.step import (
    PartialGradient,
    Step,
    StepRows,
    occurring_rows,
    parallel_step,
    split_rows,
    step_entries,
)
from nightloop.tasks.training.train_state import TrainState

# Fewest rows for which another thread saves time: a part is a hundred operations, each too short with fewer rows.
PART = 2048


class TransferInputs(NamedTuple):
    """The inputs of the transfer: the weights of the close before, and those learned from the period."""

    before: Weights
    learned: Weights


def learn_model(
    model: Model,
    transfers: TransferSet,
    meta: MetaState,
    inputs: TransferInputs,
    logs: Logs,
    training: TrainConfig,
    batches: Batches,
) -> dict[str, Tensor]:
    """Step 1: train `inputs.learned` on the loss of the transferred weights on `logs`. The transfers are not changed.

    argmin L0(f(before, learned) | logs) + l2 / 2 |learned|^2. Raises DataError if the loss diverges.
    """
    before, weights = inputs
    fixed, half = meta.parameters, training.precision == "bfloat16"
    old, old_dense = fuse(before, model.fields), {name: before[name] for name in dense_names(weights)}
    regularizer = regularizer_of(training.l2, None, weights, model.fields)
    look = lookup(model, table_sizes(model, weights), logs, own_close(logs))

    def step_on(run: TrainState) -> Step:
        def compute_gradient(rows: StepRows, share: float) -> PartialGradient:
            positions, label, ids = step_entries(model, logs, rows)
            distinct, position = torch.unique(look.rows(positions, ids), return_inverse=True)
            table = take_rows(run.table, distinct).requires_grad_()
            flat = run.flat.detach().requires_grad_()
            transferred = transfers.rows(
                fixed, _pieces(transfers, distinct, run.sizes, take_rows(old, distinct), table), half
            )
            dense = transfers.dense(fixed, old_dense, run.dense(flat))
            embedded = look.embedded(transferred.index_select(0, position), positions, ids)
            logits = model.logits(embedded, logs.numeric[positions], dense)
            value = share * cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
            gradient, of_dense = torch.autograd.grad(value, [table, flat], allow_unused=True)
            return PartialGradient(
                value.detach(), distinct, gradient, of_dense, occurring_rows(model, rows, ids, run.sizes)
            )

        return parallel_step(compute_gradient, run, regularizer, threads, PART)

    items = torch.arange(logs.sizes[logs.fields.index("item")])
    batch_order = None if batches == "shuffled" else epochs(model, logs, training, batches, items, "first")
    with _open_threads(model, training) as threads:
        return train(step_on, model, weights, logs, training, None, batch_order).weights


def learn_transfer(
    model: Model,
    transfers: TransferSet,
    meta: MetaState,
    inputs: TransferInputs,
    logs: Logs,
    training: TrainConfig,
    batches: Batches,
) -> MetaState:
    """Step 2: train the transfers on the loss of the transferred weights on `logs`. The weights are not changed.

    argmin L0(f(before, learned) | logs) + l2 / 2 |transfers|^2 at `training.lr`, by Adam. Negatives of a ranking
    are uniform over the distinct items of `logs`, without the user's. Raises DataError if the loss diverges.
    """
    before, weights = inputs
    if not len(logs) or not meta.parameters:
        return meta
    half = training.precision == "bfloat16"
    flat, adam = meta.flat(), meta.adam(training.lr)
    sizes, dense = table_sizes(model, weights), dense_names(weights)
    old, new = fuse(before, model.fields), fuse(weights, model.fields)
    look = lookup(model, sizes, logs, close_before(logs))
    value = torch.zeros(())
    items = torch.unique(logs.rows[:, logs.fields.index("item")])

    def compute_gradient(rows: StepRows, share: float) -> tuple[Tensor, Tensor]:
        """The loss of a part, weighted by its share of the rows, and its gradient."""
        positions, label, ids = step_entries(model, logs, rows)
        leaf = flat.detach().requires_grad_()
        parameters = meta.unflatten(leaf)
        distinct, position = torch.unique(look.rows(positions, ids), return_inverse=True)
        pieces = _pieces(transfers, distinct, sizes, take_rows(old, distinct), take_rows(new, distinct))
        transferred = transfers.rows(parameters, pieces, half)
        dense_output = transfers.dense(parameters, before, dense)
        embedded = look.embedded(transferred.index_select(0, position), positions, ids)
        logits = model.logits(embedded, logs.numeric[positions], dense_output)
        value = share * cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    with reuse_freed_memory(), _open_threads(model, training) as threads:
        for rows in chain.from_iterable(epochs(model, logs, training, batches, items, "second")):
            parts = threads.map(lambda part: compute_gradient(*part), split_rows(rows, threads, PART))
            value, gradient = (reduce(torch.add, each) for each in zip(*parts, strict=True))
            adam.step(flat, gradient.add(flat, alpha=training.l2))
    return meta.finish_run(flat, adam, value, "the transfer")


def _open_threads(model: Model, training: TrainConfig) -> AbstractContextManager[ThreadPool]:
    """Threads for parts of the rows. A click model has one part, because each part transfers all dense weights."""
    return thread_pool(training.parts if model.family == "ranking" else 1)


def _pieces(
    transfers: TransferSet, distinct: Tensor, sizes: list[int], old: Tensor, new: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows of the fused table, before and learned, by field, in the order of `distinct`."""
    return {transfers.fields[number]: (old[part], new[part]) for number, part in rows_by_field(distinct, sizes)}
