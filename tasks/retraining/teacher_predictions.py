"""Teacher predictions: checks and targets of the strategies that learn from predictions: KD, IncCTR and ReLoop."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.training.predict import predict

FAMILIES = ("ctr",)  # a ranking has no probabilities to learn from


def check_teachable(learner: Strategy, strategy: str) -> None:
    """Raises PlanError if a learner cannot be given another objective."""
    if not hasattr(learner, "learn"):
        raise PlanError(
            f"learner: {strategy} gives its learner another loss, and {type(learner).__name__} takes none (it has no "
            "method `learn`); FineTune, FullRetrain, SPMF, L2SP and EWC do. What post-processes a learner goes "
            f"outside: AverageWeights, SML, ASMG and Hedge take {strategy} as their learner"
        )


def check_labels(model: Model, strategy: str) -> None:
    """Raises PlanError for a ranking."""
    if model.family not in FAMILIES:
        raise PlanError(
            f"{strategy} learns from probabilities and needs labelled logs; the model {type(model).__name__} is for "
            "rankings. Name the label in the plan's columns.label and take a click model"
        )


def with_predictions(model: Model, weights: Weights, logs: Logs) -> Logs:
    """The logs with the probabilities that `weights` give to their rows in place of those that were served."""
    return replace(logs, served=predict(model, weights, logs).sigmoid())


def teacher_targets(logs: Logs) -> tuple[Tensor, Tensor]:
    """Predictions [n], with the label if there is none, and for which rows there is one [n] (float32, 0 or 1).

    Raises PlanError if one is not a probability.
    """
    present = ~torch.isnan(logs.served)
    if not bool(((logs.served >= 0) & (logs.served <= 1) | ~present).all()):
        raise PlanError("served predictions must be probabilities, 0 to 1; the logs hold others")
    return torch.where(present, logs.served, logs.label), present.float()
