"""Prequential loss: how well weights would have served a closed period, measured before training on it.

Rankings are judged by the metric that leads at the gate, on the candidates that the night's score step deals; click
models by their log loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import Candidates, sample_candidates
from nightloop.tasks.evaluation.rank import from_weights, rank
from nightloop.tasks.evaluation.summary import per_interaction
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import PREFIX
from nightloop.tasks.modules.model import Factored, Model
from nightloop.tasks.plan.leading_metric import CATALOGUE
from nightloop.tasks.training.predict import predict

Judge = Callable[[Weights], float]


def make_judge(model: Model, logs: Logs, close: int) -> Judge:
    """The prequential loss of weights on the newest period of `logs`: a function of weights to a number.

    For a ranking it is 1 - m, with m the mean of the plan's leading metric (`logs.metric`) against the candidates that
    the score step deals for the period: 0 if every row's item is first, 1 if none is in the list. For clicks it is the
    log loss.

    Parameters
    ----------
    model : Model
        The model of the weights.
    logs : Logs
        The newest period, with one row or more, and for a ranking all rows of earlier periods.
    close : int
        Index of the period at whose close the weights were made. Rows of later ids are left out: such an id is unknown
        to the weights, as it was when they were served.

    Returns
    -------
    callable
        From weights to their loss.

    Examples
    --------
    The loss of weights that score all items equally.

    >>> import torch
    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import make_judge
    >>> logs = simulated_periods("ranking")[-1]
    >>> judge = make_judge(MF(width=2), logs, close=3)
    >>> round(judge({"table.user": torch.zeros(logs.sizes[0], 2), "table.item": torch.zeros(logs.sizes[1], 2)}), 3)
    0.657
    """
    if model.family != "ranking":
        newest = logs.since(logs.period)
        return lambda weights: mean_logloss(model, weights, newest)
    candidates = night_candidates(logs)
    return lambda weights: 1 - mean_metric(model, weights_at_close(weights, logs, close), candidates, logs.metric)


def mean_metric(model: Model, weights: Weights, candidates: Candidates, metric: str) -> float:
    """The mean of a ranking metric over the rows of the candidates' period."""
    rows = rank(from_weights(cast(Factored, model).factors, weights), candidates)
    return float(per_interaction(rows, metric).mean())


def night_candidates(logs: Logs) -> Candidates:
    """What the score step ranks the newest period against. `logs` have all rows of earlier periods."""
    newest = logs.since(logs.period)
    earlier = logs.rows[: len(logs) - len(newest), :2]
    whole = logs.metric.startswith(CATALOGUE)
    return sample_candidates(newest, earlier, logs.ranking.model_copy(update={"catalogue": whole}))


def weights_at_close(tensors: Weights, logs: Logs, period: int) -> dict[str, Tensor]:
    """The tensors as they were at the close of a period: later ids have no row yet."""
    sizes = {PREFIX + field: int((born <= period).sum()) for field, born in zip(logs.fields, logs.born, strict=True)}
    return {name: tensor[: sizes[name]] if name in sizes else tensor for name, tensor in tensors.items()}


def mean_logloss(model: Model, weights: Weights, logs: Logs) -> float:
    """Mean binary cross-entropy of the weights on labelled rows."""
    return float(binary_cross_entropy_with_logits(predict(model, weights, logs), logs.label))
