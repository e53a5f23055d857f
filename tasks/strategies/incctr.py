"""IncCTR: learn incrementally from the newest period and from an older model, one's own or another strategy's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace
from nightloop.tasks.retraining.advance import recent_rows
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.distillation_loss import Distil, check_temperature
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, with_predictions


@dataclass(frozen=True)
class IncCTR:
    """Incremental learning with distillation, of three modules, for labelled logs.

    Features: the plan's `columns.min_count` is the threshold of the count; an id that passes it starts as the row that
    it shared before. Data: the `learner`. Model: the learner starts at its own weights of the night before and is
    taught by the `teacher`. With row-wise Adagrad and `optimizer` keep, new rows move faster than old ones.

    The loss is CE(y, s(z)) + T^2 CE(s(z'/T), s(z/T)) with T the `temperature`;
    `nightloop.tasks.retraining.distillation_loss` says why there is a factor T^2. With a `weight` w the two terms are
    multiplied by (1 - w) and w.

    Parameters
    ----------
    learner : Strategy
        The data module: FineTune for the newest period alone (the paper trains one epoch at least), SPMF for a
        reservoir as well. FullRetrain, L2SP and EWC are allowed too.
    teacher : Strategy or None, default None
        None: the learner's own weights of the night before (KD-self). A strategy makes batch models (KD-batch):
        FullRetrain for a model that is a night old, NoUpdate for the pre-trained model at all times. Its time and
        memory are added.
    weight : float or None, default None
        Share of the teacher in the loss, 0 to 1. None is the sum of both terms, as in the paper. The authors of ASMG
        use 0.1 and 0.2.
    temperature : float, default 1.0
        Divides both logits, above 0. 1 is the value of the ASMG authors' code. A larger value makes both distributions
        more even.

    Raises
    ------
    PlanError
        An option is out of range, the learner cannot be given another loss, or the model is for rankings.
    DataError
        From `update`: a loss diverges.

    References
    ----------
    Wang et al. 2020, A practical incremental method to train deep CTR models (IncCTR). Peng et al. 2021, Learning an
    adaptive meta model-generator for incrementally updating recommender systems (`weight`).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.incctr import IncCTR
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, IncCTR(FineTune()), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.597
    """

    learner: Strategy
    teacher: Strategy | None = None
    weight: float | None = None
    temperature: float = 1.0
    search_space: ClassVar[SearchSpace] = {"weight": (None, 0.1, 0.2, 0.4, 0.6)}
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
        """The learner's, or the teacher's if that is longer."""
        return max(self.learner.lookback, self.teacher.lookback if self.teacher else 1)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with; the teacher starts, too. Raises PlanError for a ranking."""
        check_labels(model, "IncCTR")
        teacher = self.teacher.start(model, weights, logs) if self.teacher else None
        started = self.learner.start(
            model, weights, with_predictions(model, teacher.weights if teacher else weights, logs)
        )
        return Checkpoint(logs.period, started.weights, _memory(started, teacher))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The teacher predicts, the learner learns, then the teacher learns. Raises DataError if a loss diverges."""
        check_labels(model, "IncCTR")
        memory = checkpoint.memory
        require_keys(memory, ("teacher/weights/",) if self.teacher else (), "IncCTR")
        student = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", memory))
        previous_teacher = Checkpoint(
            checkpoint.period, unpack("teacher/weights", memory), unpack("teacher/memory", memory)
        )
        rows = recent_rows(logs, self.learner.lookback)
        with_targets = with_predictions(model, previous_teacher.weights if self.teacher else student.weights, rows)
        shares = (1.0, 1.0) if self.weight is None else (1 - self.weight, self.weight)
        learned = update_learner(
            self.learner, "IncCTR's learner", model, student, with_targets, Distil(*shares, self.temperature)
        )
        teacher = (
            update_learner(self.teacher, "IncCTR's teacher", model, previous_teacher, logs) if self.teacher else None
        )
        return Checkpoint(logs.period, learned.weights, _memory(learned, teacher))


def _memory(learned: Checkpoint, teacher: Checkpoint | None) -> dict[str, Tensor]:
    """The learner's memory, and the teacher's weights and memory."""
    memory = pack("learner", learned.memory)
    if teacher is not None:
        memory |= {**pack("teacher/weights", teacher.weights), **pack("teacher/memory", teacher.memory)}
    return memory
