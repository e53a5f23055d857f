"""Distillation loss: the loss of a student that learns from labels and from a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.loss import Batch, Loss
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.teacher_predictions import teacher_targets


@dataclass(frozen=True)
class Distil:
    """An objective: `hard` CE(y, s(z)) + `soft` T^2 CE(s(z'/T), s(z/T)), z a student's and z' the teacher's logit.

    s is the logistic function, T the temperature; s(z') is what `Logs.served` holds. The gradient of the soft term is
    T (s(z/T) - s(z'/T)), which falls as 1/T without the factor T^2 (Hinton et al. 2015, section 2), so that `soft`
    means as much at every temperature. A row without a teacher's probability has its label alone, weight hard + soft.
    """

    hard: float
    soft: float
    temperature: float = 1.0

    def __call__(self, logs: Logs) -> Loss:
        """The loss for these rows."""
        teacher, present = teacher_targets(logs)
        target = soften(teacher, self.temperature)
        hard = self.hard + self.soft * (1 - present)
        soft = self.soft * self.temperature**2 * present

        def loss(batch: Batch) -> Tensor:
            at, tempered = batch.positions, batch.logits / self.temperature
            of_label = binary_cross_entropy_with_logits(batch.logits, batch.label, hard[at], reduction="sum")
            of_teacher = binary_cross_entropy_with_logits(tempered, target[at], soft[at], reduction="sum")
            return (of_label + of_teacher) / batch.taken

        return loss


def soften(probability: Tensor, temperature: float) -> Tensor:
    """s(z / temperature) of the logit z behind each probability [n]: p^(1/T) / (p^(1/T) + (1 - p)^(1/T)).

    In this form the probabilities 0 and 1, which have no finite logit, stay 0 and 1.
    """
    odds, odds_against = (side.double().pow(1 / temperature) for side in (probability, 1 - probability))
    return (odds / (odds + odds_against)).to(torch.float32)


def check_temperature(temperature: float) -> None:
    """Raises PlanError if a temperature is not above 0."""
    if not 0 < temperature < float("inf"):
        raise PlanError(f"temperature: given {temperature}; it divides logits and is above 0")
