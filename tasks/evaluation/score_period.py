"""Scoring: what one checkpoint predicts for a period it has not seen, row by row."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import Candidates
from nightloop.tasks.evaluation.rank import from_weights, rank
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Factored, Model
from nightloop.tasks.training.predict import predict


def scored_period(
    model: Model, weights: Weights, logs: Logs, candidates: Candidates | None = None
) -> dict[str, Tensor]:
    """The scored period of `weights` on `logs`: columns [n] as `metrics.table` reads them.

    A ranking is judged on the `candidates` dealt for `logs`, click probabilities on the rows alone. Raises ValueError
    on NaN.
    """
    if candidates is not None:
        return rank(from_weights(cast(Factored, model).factors, weights), candidates)
    found = {"user": logs.rows[:, 0].clone(), "item": logs.rows[:, 1].clone()}
    for column, field in ((0, "user"), (1, "item")):
        found[f"new_{field}"] = logs.born[column][logs.rows[:, column]] == logs.periods
    return {**found, "label": logs.label.clone(), "prediction": torch.sigmoid(predict(model, weights, logs))}
