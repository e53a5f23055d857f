"""Resize: a checkpoint grows with the vocabulary; every tensor that is parallel to a table grows with it."""

from __future__ import annotations

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import FOLDER, state_of
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.fused_tables import PREFIX, table_sizes
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError


def initial_weights(model: Model, logs: Logs) -> dict[str, Tensor]:
    """Untrained weights: the model's first values for every row of the vocabulary and for everything else."""
    tables = {f"{PREFIX}{field}": _new_rows(model, logs, field, _size(logs, field)) for field in model.fields}
    return {**tables, **model.dense(logs.generator("dense"))}


def grow(model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
    """The checkpoint with tables as long as `logs.sizes`. Existing rows are not changed.

    New rows of the weights, and of weights kept in memory (a path with a part `weights`), are the model's first
    values, and zeros if the table is wider than the model's. They are equal for all strategies, because they come from
    the logs' generator. If rare values share a row
    (`Logs.others`), new rows start as copies of it. Any other tensor in memory whose last part is `table.<field>` gets
    zeros, and so does the state kept beside the weights. Raises DataError if a table is longer than the vocabulary, or
    a tensor in memory is not as long as its table.
    """
    old = dict(zip(model.fields, table_sizes(model, checkpoint.weights), strict=True))
    for name, tensor in state_of(checkpoint.weights).items():  # of fields that have no table, too
        field = name.rsplit("/", 1)[-1].removeprefix(PREFIX)
        old |= {field: len(tensor)} if field in set(logs.fields) - old.keys() else {}
    fresh: dict[str, Tensor] = {}
    for field, rows in old.items():
        added = _size(logs, field) - rows
        if added < 0:
            raise DataError(
                f"{PREFIX}{field} has {rows} rows, the vocabulary of period {logs.period} only {_size(logs, field)}: "
                "a vocabulary never shrinks, so this checkpoint belongs to other logs"
            )
        if added:
            fresh[field] = _new_rows(model, logs, field, added)
    shared = {field: row for field, row in zip(logs.fields, logs.others, strict=False) if 0 <= row < old.get(field, 0)}
    grown = {
        name: _grow_tensor(name, tensor, old, fresh, None if name.startswith(f"{FOLDER}/") else shared)
        for name, tensor in checkpoint.weights.items()
    }
    memory = {
        name: _grow_tensor(name, tensor, old, fresh, shared if "weights" in name.split("/")[:-1] else None)
        for name, tensor in checkpoint.memory.items()
    }
    return Checkpoint(checkpoint.period, grown, memory)


def _grow_tensor(
    name: str, tensor: Tensor, old: dict[str, int], fresh: dict[str, Tensor], shared: dict[str, int] | None
) -> Tensor:
    """The tensor with new rows, if its last part names a table that grows; else the tensor itself.

    New rows are those of `fresh`, or copies of the row in `shared`. They are zeros if `shared` is None.
    """
    last = name.rsplit("/", 1)[-1]
    field = last.removeprefix(PREFIX)
    if not last.startswith(PREFIX) or field not in old:
        return tensor
    if not tensor.dim() or len(tensor) != old[field]:
        raise DataError(
            f"{name} is {list(tensor.shape)}, but {PREFIX}{field} has {old[field]} rows: they must be parallel"
        )
    if field not in fresh:
        return tensor
    new = fresh[field].to(tensor.dtype)
    if shared is None or new.shape[1:] != tensor.shape[1:]:  # a table of several strategies' columns is wider
        new = new.new_zeros(len(new), *tensor.shape[1:])
    elif field in shared:
        new = tensor[shared[field]].expand(len(new), -1)
    return torch.cat([tensor, new])


def _new_rows(model: Model, logs: Logs, field: str, count: int) -> Tensor:
    return model.new_rows(field, count, logs.generator(f"rows/{field}"))


def _size(logs: Logs, field: str) -> int:
    if field not in logs.fields:
        raise DataError(f"the model has a table for {field!r}, the logs have {', '.join(logs.fields)}")
    return logs.sizes[logs.fields.index(field)]
