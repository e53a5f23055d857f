"""Through: the two halves of SML's training. What is learned is judged by what the transfer makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.adam import Adam
from tasks.models.carry import Carry, parted
from tasks.models.checkpoint import Weights
from tasks.models.fit import HOPELESS, Draw, Step, entries, train
from tasks.models.learned import Learned
from tasks.models.loss import Batch, cross_entropy
from tasks.models.model import Model
from tasks.models.negatives import draw, known
from tasks.models.pull import springs
from tasks.models.rows import take_rows
from tasks.models.schedule import Schedule
from tasks.models.tables import fuse, offsets, others, table_sizes


@dataclass(frozen=True)
class Meta:
    """The parameters of all transfers and their Adam, as a checkpoint's memory holds them."""

    parameters: dict[str, Tensor]
    first: Tensor  # [all parameters], in order of name
    second: Tensor
    steps: int

    def memory(self) -> dict[str, Tensor]:
        """By name: the parameters, and `adam/...`."""
        return {
            **{f"parameters/{name}": tensor for name, tensor in self.parameters.items()},
            "adam/first": self.first, "adam/second": self.second, "adam/steps": torch.tensor([self.steps]),
        }  # fmt: skip


def begun(parameters: dict[str, Tensor]) -> Meta:
    """Transfers that have learnt nothing yet."""
    count = sum(tensor.numel() for tensor in parameters.values())
    return Meta(_ordered(parameters), torch.zeros(count), torch.zeros(count), 0)


def recalled(memory: Weights) -> Meta:
    """What `Meta.memory` wrote."""
    head = "parameters/"
    parameters = {name[len(head) :]: tensor for name, tensor in memory.items() if name.startswith(head)}
    return Meta(_ordered(parameters), memory["adam/first"], memory["adam/second"], int(memory["adam/steps"]))


def _ordered(parameters: Weights) -> dict[str, Tensor]:
    """By name: the order in which they lie in Adam's moments, whatever order a file gives them back in."""
    return {name: parameters[name] for name in sorted(parameters)}


def learn_through(
    model: Model, carry: Carry, meta: Meta, before: Weights, weights: Weights, logs: Logs, schedule: Schedule
) -> dict[str, Tensor]:
    """Step 1: `weights` trained so that the carried ones do well on `logs`; the transfers stay as they are.

    argmin L0(f(before, weights) | logs) + l2 / 2 |weights|^2. Raises ValueError where the loss diverges.
    """
    fixed, half = meta.parameters, schedule.precision == "bfloat16"
    old, old_dense = fuse(before, model.fields), {name: before[name] for name in others(weights)}
    drawn = springs(schedule.l2, None, weights, model.fields)

    def step_on(run: Learned) -> Step:
        def step(rows: Draw) -> Tensor:
            positions, label, ids = entries(model, logs, rows)
            distinct, place, times = torch.unique(ids + offsets(run.sizes), return_inverse=True, return_counts=True)
            table = take_rows(run.table, distinct).requires_grad_()
            flat = run.flat.detach().requires_grad_()
            carried = carry.rows(fixed, _pieces(carry, distinct, run.sizes, take_rows(old, distinct), table), half)
            dense = carry.dense(fixed, old_dense, run.dense(flat))
            embedded = carried.index_select(0, place.flatten()).view(*ids.shape, -1)
            logits = model.logits(embedded, logs.numeric[positions], dense)
            value = cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
            gradient, of_dense = torch.autograd.grad(value, [table, flat], allow_unused=True)
            if of_dense is not None:
                run.adam.step(run.flat, of_dense)
            if gradient is not None:
                summed = gradient * len(rows.positions)
                drawn.draw_rows(summed, run.table, distinct, times)
                run.rows.step(run.table, distinct, summed)
            return value.detach()

        return step

    return train(step_on, model, weights, logs, schedule, None).weights


def learn_transfer(
    model: Model,
    carry: Carry,
    meta: Meta,
    before: Weights,
    weights: Weights,
    logs: Logs,
    schedule: Schedule,
) -> Meta:
    """Step 2: the transfers trained so that the carried weights do well on `logs`; the weights stay as they are.

    argmin L0(f(before, weights) | logs) + dense_l2 |transfers|^2 at `schedule.rate`, by Adam. Negatives of a ranking
    are uniform over the distinct items of `logs`, without the user's: what is asked is which of the period's items.
    Raises ValueError where the loss diverges.
    """
    if not len(logs) or not meta.parameters:
        return meta
    half = schedule.precision == "bfloat16"
    shapes = {name: tensor.shape for name, tensor in meta.parameters.items()}
    flat = torch.cat([tensor.flatten() for tensor in meta.parameters.values()])
    adam = Adam(schedule.rate, meta.first.clone(), meta.second.clone(), meta.steps)
    sizes, dense = table_sizes(model, weights), others(weights)
    old, new = fuse(before, model.fields), fuse(weights, model.fields)
    value = torch.zeros(())
    for rows in _batches(model, logs, schedule):
        positions, label, ids = entries(model, logs, rows)
        leaf = flat.detach().requires_grad_()
        views = torch.split(leaf, [prod(shape) for shape in shapes.values()])
        parameters = {name: view.view(shape) for (name, shape), view in zip(shapes.items(), views, strict=True)}
        distinct, place = torch.unique(ids + offsets(sizes), return_inverse=True)
        carried = carry.rows(
            parameters, _pieces(carry, distinct, sizes, take_rows(old, distinct), take_rows(new, distinct)), half
        )
        towers = carry.dense(parameters, before, dense)
        embedded = carried.index_select(0, place.flatten()).view(*ids.shape, -1)
        logits = model.logits(embedded, logs.numeric[positions], towers)
        value = cross_entropy(Batch(logits, label, positions, ids, embedded, len(rows.positions)))
        (gradient,) = torch.autograd.grad(value, leaf)
        adam.step(flat, gradient.add_(flat, alpha=schedule.l2))
    if not float(value.detach()) <= HOPELESS or not bool(torch.isfinite(flat.sum())):
        raise ValueError(
            f"the transfer diverged: loss {float(value.detach()):.4g} at rate {schedule.rate:g}; lower the rate"
        )
    pieces = torch.split(flat, [prod(shape) for shape in shapes.values()])
    learned = {name: piece.view(shape).clone() for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}
    return Meta(learned, adam.first, adam.second, adam.steps)


def _pieces(
    carry: Carry, distinct: Tensor, sizes: list[int], old: Tensor, new: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows of the fused table, before and learned, by field, in the order of `distinct`."""
    return {field: (old[part], new[part]) for field, part in parted(distinct, sizes, carry.fields)}


def _batches(model: Model, logs: Logs, schedule: Schedule) -> Iterator[Draw]:
    """All rows in a new order each epoch, in batches, a ranking's with a negative from the items of `logs`."""
    generator = logs.generator("second")
    user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
    offered, place = torch.unique(item, return_inverse=True)
    positives = known(user, place, len(offered)) if model.family == "ranking" else None
    for _ in range(schedule.epochs):
        for rows in torch.split(torch.randperm(len(logs), generator=generator), schedule.batch):
            if positives is None:
                yield Draw(rows)
            else:
                drawn, real = draw(positives, user[rows], generator)
                yield Draw(rows, offered[drawn], real)
