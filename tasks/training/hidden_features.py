"""Hidden features: a model's logits and its last hidden layer, from one pass, to look for similar rows."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.mlp import last_hidden
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.stacked_weights import first_member, is_stacked
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.training.predict import predict


@torch.no_grad()
def logits_and_hidden(model: Model, weights: Weights, logs: Logs) -> tuple[Tensor, Tensor]:
    """The logits [n] that `predict` gives for the rows of `logs`, and hidden [n, d].

    Hidden is the input of the last layer of the model's tower, as in ReLoop2. Several towers are concatenated. For a
    model without a tower it is the input of the model: the row's embeddings and numeric values. Of stacked
    weights it is that of the first member. Raises DataError as `predict` does, and if there is no row.
    """
    if not len(logs):
        raise DataError("no row was given; give at least one")
    hidden: list[Tensor] = []

    def logits_of(embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        with last_hidden() as layers:
            logits = model.logits(embedded, numeric, dense)
        parts = layers if layers else [embedded.flatten(1), numeric.sign() * numeric.abs().log1p()]
        hidden.append(torch.cat(parts, 1).float())
        return logits

    observed = copy(model)  # predicts as the model does and records its hidden layers
    object.__setattr__(observed, "logits", logits_of)
    logits = predict(observed, first_member(weights), logs)
    return predict(model, weights, logs) if is_stacked(weights) else logits, torch.cat(hidden)
