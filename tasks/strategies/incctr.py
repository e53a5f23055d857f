"""IncCTR: go on learning from the newest period, taught by an older model of one's own or of another's making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.advance import recent
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.distillation_loss import Distil, check_temperature
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, predicted


@dataclass(frozen=True)
class IncCTR:
    """Incremental learning with distillation (Wang et al. 2020), for labelled logs, of three modules.

    Features: the plan's `columns.min_count` is the threshold of its count; an id that a value earns begins as the row it
    shared. Data: the `learner`, FineTune for the newest period alone (one epoch is the paper's least), SPMF for a
    reservoir besides. Model: the learner begins at its own weights of the night before and is taught by `teacher`,
    None for those very weights (KD-self), or a strategy of its own that makes batch models (KD-batch): FullRetrain for
    one that is a night old, NoUpdate for the pre-trained one for ever; its time and memory are added. A learner's
    row-wise Adagrad that is kept lets new rows move faster than old ones.

    The loss is CE(y, s(z)) + T^2 CE(s(z'/T), s(z/T)), T the `temperature` (why T^2:
    `nightloop.tasks.retraining.distillation_loss`), and with a `weight` w (1 - w) and w times the two: so the
    authors of ASMG have it, with w = 0.1 and 0.2 (Peng et al. 2021).
    """

    learner: Strategy
    teacher: Strategy | None = None
    weight: float | None = None
    temperature: float = 1.0
    families: ClassVar[tuple[str, ...]] = FAMILIES

    def __post_init__(self) -> None:
        check_teachable(self.learner, "IncCTR")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise PlanError(
                f"weight: given {self.weight}; it is the teacher's part of the loss, 0 to 1, or null for a sum"
            )
        check_temperature(self.temperature)

    @property
    def lookback(self) -> int:
        """The learner's, or the teacher's where that is more."""
        return max(self.learner.lookback, self.teacher.lookback if self.teacher else 1)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models the learner goes with; None: all."""
        return getattr(self.learner, "models", None)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with; the teacher starts, too. Raises PlanError for a ranking."""
        check_labels(model, "IncCTR")
        teacher = self.teacher.start(model, weights, logs) if self.teacher else None
        begun = self.learner.start(model, weights, predicted(model, teacher.weights if teacher else weights, logs))
        return Checkpoint(logs.period, begun.weights, _memory(begun, teacher))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The teacher predicts and the learner learns, then the teacher does. ValueError where a loss diverges."""
        check_labels(model, "IncCTR")
        memory = checkpoint.memory
        require_keys(memory, ("teacher/weights/",) if self.teacher else (), "IncCTR")
        own = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", memory))
        old = Checkpoint(checkpoint.period, unpack("teacher/weights", memory), unpack("teacher/memory", memory))
        rows = recent(logs, self.learner.lookback)
        heard = predicted(model, old.weights if self.teacher else own.weights, rows)
        shares = (1.0, 1.0) if self.weight is None else (1 - self.weight, self.weight)
        learned = update_learner(self.learner, "IncCTR's learner", model, own, heard, Distil(*shares, self.temperature))
        teacher = update_learner(self.teacher, "IncCTR's teacher", model, old, logs) if self.teacher else None
        return Checkpoint(logs.period, learned.weights, _memory(learned, teacher))


def _memory(learned: Checkpoint, teacher: Checkpoint | None) -> dict[str, Tensor]:
    """The learner's memory, and all that the teacher goes on from."""
    memory = pack("learner", learned.memory)
    if teacher is not None:
        memory |= {**pack("teacher/weights", teacher.weights), **pack("teacher/memory", teacher.memory)}
    return memory
