"""KD: learn from the labels and from what yesterday's weights predict, as a student from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.distillation_loss import Distil, check_temperature
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, predicted


@dataclass(frozen=True)
class KD:
    """Knowledge distillation: the loss (1 - weight) CE(y, s(z)) + weight T^2 CE(s(z'/T), s(z/T)) for a `learner`.

    z' are the logits of the version before, which it began the night with, on every row the learner reads; T is the
    `temperature` (why T^2: `nightloop.tasks.retraining.distillation_loss`). At T = 1 this is cross-entropy with
    (1 - weight) y + weight s(z') for a label. Rows in SPMF's reservoir keep the teacher's word of the night they came
    (as in dark experience replay, Buzzega et al. 2020); the root's rows have that of the pre-trained weights. For labelled logs.
    Source: the rival that ReLoop (Cai et al. 2022) is compared with; no weight is printed there: choose it on your own logs.
    """

    learner: Strategy
    weight: float = 0.2
    temperature: float = 1.0
    families: ClassVar[tuple[str, ...]] = FAMILIES

    def __post_init__(self) -> None:
        check_teachable(self.learner, "KD")
        if not 0 <= self.weight <= 1:
            raise PlanError(f"weight: given {self.weight}; it is the teacher's part of the loss, 0 to 1")
        check_temperature(self.temperature)

    @property
    def lookback(self) -> int:
        """The learner's."""
        return self.learner.lookback

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models the learner goes with; None: all."""
        return getattr(self.learner, "models", None)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with. Raises PlanError for a ranking."""
        check_labels(model, "KD")
        begun = self.learner.start(model, weights, predicted(model, weights, logs))
        return Checkpoint(logs.period, begun.weights, pack("learner", begun.memory))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Let the teacher predict, the learner learn. ValueError for a ranking and where the loss diverges."""
        check_labels(model, "KD")
        require_keys(checkpoint.memory, (), "KD")
        mine = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", checkpoint.memory))
        objective = Distil(1 - self.weight, self.weight, self.temperature)
        heard = predicted(model, checkpoint.weights, logs)
        learned = update_learner(self.learner, "KD's learner", model, mine, heard, objective)
        return Checkpoint(logs.period, learned.weights, pack("learner", learned.memory))
