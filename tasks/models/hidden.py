"""Hidden: a model's logits and its own view of the rows, from one pass; for whoever looks for rows like these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Weights
from tasks.models.model import Model
from tasks.models.predict import look_up
from tasks.models.tables import PREFIX, others


@runtime_checkable
class Revealing(Protocol):
    """What a click model may have besides: what its last hidden layer gives, in the pass that makes the logits."""

    def revealed(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The logits [n] of `Model.logits`, and the last hidden layer's output [n, d]."""
        ...


@torch.no_grad()
def reveal(model: Model, weights: Weights, logs: Logs, batch: int = 16384) -> tuple[Tensor, Tensor]:
    """Logits [n] and hidden [n, d] of the rows of `logs`; an id without a row in its table counts as zeros.

    A model that is not `Revealing` is looked at by what goes into it: the row's embeddings and numeric values, side by
    side. Raises ValueError where a logit is not a number.
    """
    columns = [logs.fields.index(field) for field in model.fields]
    tables = [weights[PREFIX + field] for field in model.fields]
    dense, logits, hidden = others(weights), [], []
    for first in range(0, max(len(logs), 1), batch):
        ids, numeric = logs.rows[first : first + batch], logs.numeric[first : first + batch]
        embedded = torch.stack([look_up(t, ids[:, c]) for t, c in zip(tables, columns, strict=True)], 1)
        if isinstance(model, Revealing):
            given, view = model.revealed(embedded, numeric, dense)
        else:
            given = model.logits(embedded, numeric, dense)
            view = torch.cat([embedded.flatten(1), numeric.sign() * numeric.abs().log1p()], 1)
        logits.append(given)
        hidden.append(view.float())
    found = torch.cat(logits).float()
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"{int((~torch.isfinite(found)).sum())} of {len(found)} predictions are not finite numbers")
    return found, torch.cat(hidden)


def hidden_width(model: Model, weights: Weights, numeric: int) -> int:
    """Columns of `hidden`, seen on a row of strangers."""
    none, one = torch.zeros(1, dtype=torch.int64), torch.ones(1)
    strangers = torch.full((1, len(model.fields)), -1)
    logs = Logs(
        0, none.int(), model.fields, strangers, torch.zeros(1, numeric), one, none, (0,) * len(model.fields), (), 0
    )
    return reveal(model, weights, logs)[1].shape[1]
