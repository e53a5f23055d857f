"""Score a period: the predictions of one checkpoint for a period it has not seen, row by row."""

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
    """What `weights` predict for `logs`, as the columns that `nightloop.tasks.evaluation.summary` reads.

    Parameters
    ----------
    model : Model
        The model of the weights.
    weights : Weights
        The weights of a checkpoint that has not seen the logs.
    logs : Logs
        n rows of one period.
    candidates : Candidates or None, default None
        For a ranking: the candidates drawn for `logs`. None: click probabilities.

    Returns
    -------
    dict of str to Tensor
        Columns, each [n]: those of `rank`, or `user`, `item`, `new_user`, `new_item`, `label` and `prediction`.

    Raises
    ------
    DataError
        A prediction is NaN, or the weights do not fit the logs.

    Examples
    --------
    An untrained model predicts about 1/2 for every row.

    >>> from nightloop.tasks.evaluation.score_period import scored_period
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> model, logs = FM(["user", "item"], width=4), simulated_periods("ctr")[0]
    >>> print(round(scored_period(model, initial_weights(model, logs), logs)["prediction"].mean().item(), 2))
    0.5
    """
    if candidates is not None:
        return rank(from_weights(cast(Factored, model).factors, weights), candidates)
    columns = {"user": logs.rows[:, 0].clone(), "item": logs.rows[:, 1].clone()}
    for column, field in ((0, "user"), (1, "item")):
        columns[f"new_{field}"] = logs.born[column][logs.rows[:, column]] == logs.periods
    return {**columns, "label": logs.label.clone(), "prediction": torch.sigmoid(predict(model, weights, logs))}
