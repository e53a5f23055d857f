"""Hidden: a model's logits and its own view of the rows, from one pass; for whoever looks for rows like these."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Weights
from tasks.models.model import Model
from tasks.models.predict import predict


@runtime_checkable
class Revealing(Protocol):
    """What a click model may have besides: what its last hidden layer gives, in the pass that makes the logits."""

    def revealed(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The logits [n] of `Model.logits`, and the last hidden layer's output [n, d]."""
        ...


@torch.no_grad()
def reveal(model: Model, weights: Weights, logs: Logs) -> tuple[Tensor, Tensor]:
    """The logits [n] that `predict` gives for the rows of `logs`, and hidden [n, d].

    A model that is not `Revealing` is looked at by what goes into it: the row's embeddings and numeric values, side by
    side. Raises ValueError as `predict` does, and where there is no row.
    """
    if not len(logs):
        raise ValueError("no row was given: there is nothing to look at")
    views: list[Tensor] = []

    def watched(embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        if isinstance(model, Revealing):
            logits, view = model.revealed(embedded, numeric, dense)
        else:
            logits = model.logits(embedded, numeric, dense)
            view = torch.cat([embedded.flatten(1), numeric.sign() * numeric.abs().log1p()], 1)
        views.append(view.float())
        return logits

    twin = copy(model)  # predicts as the model does, however that looks its rows up, and lets us see
    object.__setattr__(twin, "logits", watched)
    logits = predict(twin, weights, logs)
    return logits, torch.cat(views)
