"""Hidden: a model's logits and its own view of the rows, from one pass; for whoever looks for rows like these."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.mlp import last_hidden
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.training.predict import predict


@torch.no_grad()
def logits_and_hidden(model: Model, weights: Weights, logs: Logs) -> tuple[Tensor, Tensor]:
    """The logits [n] that `predict` gives for the rows of `logs`, and hidden [n, d].

    Hidden is what the last layer of the model's tower reads (of several towers, side by side), as ReLoop2 has it. A model
    without a tower is looked at by what goes into it: the row's embeddings and numeric values. Raises DataError as
    `predict` does, and where there is no row.
    """
    if not len(logs):
        raise DataError("no row was given: there is nothing to look at")
    views: list[Tensor] = []

    def watched(embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        with last_hidden() as seen:
            logits = model.logits(embedded, numeric, dense)
        parts = seen if seen else [embedded.flatten(1), numeric.sign() * numeric.abs().log1p()]
        views.append(torch.cat(parts, 1).float())
        return logits

    twin = copy(model)  # predicts as the model does, however that looks its rows up, and lets us see
    object.__setattr__(twin, "logits", watched)
    logits = predict(twin, weights, logs)
    return logits, torch.cat(views)
