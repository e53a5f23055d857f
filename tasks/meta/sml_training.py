"""Through: the two halves of SML's training. What is learned is judged by what the transfer makes of it."""

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
from nightloop.tasks.training.step import PartialGradient, Step, StepRows, parallel_step, split_rows, step_entries
from nightloop.tasks.training.train_state import TrainState

# Rows that are worth a thread: a part is a hundred operations, and of fewer rows each is too short to be shared.
PART = 2048


class TransferInputs(NamedTuple):
    """What the transfer makes a period's weights of: those of the close before, and what was learned on them."""

    before: Weights
    learned: Weights


def learn_model(
    model: Model,
    carry: TransferSet,
    meta: MetaState,
    past: TransferInputs,
    logs: Logs,
    training: TrainConfig,
    batches: Batches,
) -> dict[str, Tensor]:
    """Step 1: `past.learned` trained so that the carried weights do well on `logs`; the transfers stay as they are.

    argmin L0(f(before, learned) | logs) + l2 / 2 |learned|^2. Raises ValueError if the loss diverges.
    """
    before, weights = past
    fixed, half = meta.parameters, training.precision == "bfloat16"
    old, old_dense = fuse(before, model.fields), {name: before[name] for name in dense_names(weights)}
    drawn = regularizer_of(training.l2, None, weights, model.fields)
    look = lookup(model, table_sizes(model, weights), logs, own_close(logs))

    def step_on(run: TrainState) -> Step:
        def compute_gradient(rows: StepRows, share: float) -> PartialGradient:
            positions, label, ids = step_entries(model, logs, rows)
            distinct, place = torch.unique(look.rows(positions, ids), return_inverse=True)
            table = take_rows(run.table, distinct).requires_grad_()
            flat = run.flat.detach().requires_grad_()
            carried = carry.rows(fixed, _pieces(carry, distinct, run.sizes, take_rows(old, distinct), table), half)
            dense = carry.dense(fixed, old_dense, run.dense(flat))
            embedded = look.embedded(carried.index_select(0, place), positions, ids)
            logits = model.logits(embedded, logs.numeric[positions], dense)
            value = share * cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
            gradient, of_dense = torch.autograd.grad(value, [table, flat], allow_unused=True)
            return PartialGradient(value.detach(), distinct, gradient, of_dense, ids)

        return parallel_step(compute_gradient, run, drawn, threads, PART)

    every = torch.arange(logs.sizes[logs.fields.index("item")])
    draws = None if batches == "shuffled" else epochs(model, logs, training, batches, every, "first")
    with _open_threads(model, training) as threads:
        return train(step_on, model, weights, logs, training, None, draws).weights


def learn_transfer(
    model: Model,
    carry: TransferSet,
    meta: MetaState,
    past: TransferInputs,
    logs: Logs,
    training: TrainConfig,
    batches: Batches,
) -> MetaState:
    """Step 2: the transfers trained so that the carried weights do well on `logs`; the weights stay as they are.

    argmin L0(f(before, learned) | logs) + l2 / 2 |transfers|^2 at `training.lr`, by Adam. Negatives of a ranking
    are uniform over the distinct items of `logs`, without the user's: what is asked is which of the period's items.
    Raises ValueError if the loss diverges.
    """
    before, weights = past
    if not len(logs) or not meta.parameters:
        return meta
    half = training.precision == "bfloat16"
    flat, adam = meta.flat(), meta.adam(training.lr)
    sizes, dense = table_sizes(model, weights), dense_names(weights)
    old, new = fuse(before, model.fields), fuse(weights, model.fields)
    look = lookup(model, sizes, logs, close_before(logs))
    value = torch.zeros(())
    offered = torch.unique(logs.rows[:, logs.fields.index("item")])

    def compute_gradient(rows: StepRows, share: float) -> tuple[Tensor, Tensor]:
        """The loss of a part, as it counts in the whole, and its gradient."""
        positions, label, ids = step_entries(model, logs, rows)
        leaf = flat.detach().requires_grad_()
        parameters = meta.shaped(leaf)
        distinct, place = torch.unique(look.rows(positions, ids), return_inverse=True)
        pieces = _pieces(carry, distinct, sizes, take_rows(old, distinct), take_rows(new, distinct))
        carried = carry.rows(parameters, pieces, half)
        towers = carry.dense(parameters, before, dense)
        embedded = look.embedded(carried.index_select(0, place), positions, ids)
        logits = model.logits(embedded, logs.numeric[positions], towers)
        value = share * cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    with reuse_freed_memory(), _open_threads(model, training) as threads:
        for rows in chain.from_iterable(epochs(model, logs, training, batches, offered, "second")):
            found = threads.map(lambda part: compute_gradient(*part), split_rows(rows, threads, PART))
            value, gradient = (reduce(torch.add, each) for each in zip(*found, strict=True))
            adam.step(flat, gradient.add(flat, alpha=training.l2))
    return meta.finish_run(flat, adam, value, "the transfer")


def _open_threads(model: Model, training: TrainConfig) -> AbstractContextManager[ThreadPool]:
    """Parts of the rows side by side; towers are carried once a part, so there it is one part for all."""
    return thread_pool(training.parts if model.family == "ranking" else 1)


def _pieces(
    carry: TransferSet, distinct: Tensor, sizes: list[int], old: Tensor, new: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows of the fused table, before and learned, by field, in the order of `distinct`."""
    return {carry.fields[number]: (old[part], new[part]) for number, part in rows_by_field(distinct, sizes)}
