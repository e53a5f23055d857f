"""Predict: logits of rows, batch by batch, for whatever ids they hold."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Weights
from tasks.models.model import Model
from tasks.models.tables import PREFIX, others, table_sizes


@torch.no_grad()
def predict(model: Model, weights: Weights, logs: Logs, batch: int = 16384) -> Tensor:
    """Logits [n] float32 of the rows of `logs`. An id without a row in its table (unseen) counts as a row of zeros.

    Raises ValueError where the weights or the logs do not fit the model, or a logit is not a number.
    """
    table_sizes(model, weights)
    missing = set(model.fields) - set(logs.fields)
    if missing:
        raise ValueError(
            f"the model has tables for {', '.join(sorted(missing))}; the logs have {', '.join(logs.fields)}"
        )
    columns = [logs.fields.index(field) for field in model.fields]
    tables = [weights[PREFIX + field] for field in model.fields]
    dense, found = others(weights), torch.empty(len(logs))
    for first in range(0, len(logs), batch):
        part = slice(first, first + batch)
        embedded = [look_up(table, logs.rows[part, c]) for table, c in zip(tables, columns, strict=True)]
        found[part] = model.logits(torch.stack(embedded, 1), logs.numeric[part], dense)
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"{int((~torch.isfinite(found)).sum())} of {len(found)} predictions are not finite numbers")
    return found


def look_up(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of the table [n, w]; zeros for ids outside of it."""
    inside = (ids >= 0) & (ids < len(table))
    if bool(inside.all()):
        return table[ids]
    found = table.new_zeros(len(ids), table.shape[1])
    found[inside] = table[ids[inside]]
    return found
