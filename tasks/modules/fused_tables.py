"""Fused tables: the embedding tables of all fields as one tensor, so that a batch is one look-up and one update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.pair_scores import has_pairs
from nightloop.tasks.plan.errors import DataError

PREFIX = "table."


def offsets(sizes: Sequence[int]) -> Tensor:
    """Where each field's rows begin in the fused table: [F] int64."""
    return torch.tensor([0, *sizes[:-1]]).cumsum(0)


def rows_by_field(fused: Tensor, sizes: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """Of ascending rows of a fused table, which belong to which field, by its number; fields without any are left out."""
    ends = torch.searchsorted(fused, torch.tensor(sizes).cumsum(0)).tolist()
    for number, (first, last) in enumerate(zip([0, *ends], ends, strict=False)):
        if last > first:
            yield number, slice(first, last)


def fuse(tensors: Weights, fields: Sequence[str], folder: str = "") -> Tensor:
    """A new tensor: `<folder>table.<field>` of every field, one under the other."""
    tables = [tensors[f"{folder}{PREFIX}{field}"] for field in fields]
    if any(table.dtype != torch.float32 for table in tables):
        return torch.cat(tables)
    return torch.cat(tables, out=_new_table(sum(map(len, tables)), *tables[0].shape[1:]))


def _new_table(*shape: int) -> Tensor:
    """An uninitialised table in large pages of memory, where the system has them.

    A step reads rows at random. With pages of 4 kB the processor would look up the page of nearly every row. numpy asks
    the system for large pages for arrays of 4 MB or more; torch does not.
    """
    return torch.from_numpy(np.empty(shape, dtype=np.float32))


def split(fused: Tensor, fields: Sequence[str], sizes: Sequence[int], folder: str = "") -> dict[str, Tensor]:
    """The fields' own tables again, each a tensor of its own."""
    pieces = torch.split(fused, list(sizes))
    return {f"{folder}{PREFIX}{field}": piece.clone() for field, piece in zip(fields, pieces, strict=True)}


def table_sizes(model: Model, weights: Weights) -> list[int]:
    """Rows of each field's table. Raises DataError if a table is missing or has another width.

    Weights with pair scores may have wider tables: they are made of several strategies' columns.
    """
    wrong, composed = [], has_pairs(weights)
    for field in model.fields:
        table = weights.get(PREFIX + field)
        if table is None:
            wrong.append(f"no {PREFIX}{field}")
        elif table.dim() != 2 or (table.shape[1] != model.width and not composed):
            wrong.append(f"{PREFIX}{field} is {list(table.shape)}, the model's tables are [rows, {model.width}]")
    if wrong:
        given = ", ".join(sorted(weights)) or "none"
        raise DataError(f"the weights do not fit the model: {'; '.join(wrong)}. Given: {given}")
    return [len(weights[PREFIX + field]) for field in model.fields]


def dense_names(weights: Weights) -> dict[str, Tensor]:
    """The weights that are no table, by name in alphabetical order."""
    return {name: weights[name] for name in sorted(weights) if not name.startswith(PREFIX)}


def with_zero_rows(weights: Weights) -> dict[str, Tensor]:
    """The weights with a row of zeros at the end of every table, for ids it does not know."""
    return {
        name: zero_row(table) if name.rsplit("/", 1)[-1].startswith("table.") else table
        for name, table in weights.items()
    }


def zero_row(table: Tensor) -> Tensor:
    """The table with a row of zeros at the end, for ids it does not know."""
    return torch.cat([table, table.new_zeros(1, table.shape[1])])
