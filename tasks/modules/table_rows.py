"""Table rows: reading and writing whole rows of a table, each copied as one piece of memory.

torch copies rows number by number: with the eleven columns of a DeepFM `index_add_` takes six times as long.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """A copy of `rows` [k] int64 of a contiguous `table` [R, w]: [k, w]."""
    if table.device.type != "cpu":
        return table.index_select(0, rows)
    return torch.from_numpy(np.take(table.numpy(), rows.numpy(), axis=0))


def put_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """Write `values` [k, w] over `rows` [k] (distinct) of a contiguous `table` [R, w], in place."""
    if table.device.type != "cpu":
        table.index_copy_(0, rows, values)
        return
    row_type = np.dtype((np.void, table.element_size() * table.shape[1]))
    table.numpy().view(row_type)[rows.numpy()] = values.numpy().view(row_type)
