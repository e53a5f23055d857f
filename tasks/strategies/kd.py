"""KD: learn from the labels and from the predictions of yesterday's weights, as a student from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import require_keys, update_learner
from nightloop.tasks.retraining.distillation_loss import Distil, check_temperature
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.retraining.teacher_predictions import FAMILIES, check_labels, check_teachable, with_predictions


@dataclass(frozen=True)
class KD:
    """Knowledge distillation: a `learner` learns from the labels and from the predictions of yesterday's weights.

    The loss is (1 - weight) CE(y, s(z)) + weight T^2 CE(s(z'/T), s(z/T)), with s the logistic function.

    z' are the logits of the weights that the night starts with, on every row that the learner reads. T is the
    `temperature`; `nightloop.tasks.retraining.distillation_loss` says why there is a factor T^2. At T = 1 this is
    cross-entropy with the label (1 - weight) y + weight s(z'). Rows in the reservoir of SPMF keep the prediction of the
    night they came in, as in dark experience replay; rows of the root have that of the pre-trained weights. For
    labelled logs.

    Parameters
    ----------
    learner : Strategy
        The strategy that is trained with this loss: FineTune, FullRetrain, SPMF, L2SP or EWC.
    weight : float, default 0.2
        Share of the teacher in the loss, 0 to 1; 0 is the learner alone. The ReLoop paper prints no value: choose it on
        your own logs. A larger value keeps the predictions closer to yesterday's.
    temperature : float, default 1.0
        Divides both logits, above 0. A larger value makes both distributions more even.

    Raises
    ------
    PlanError
        An option is out of range, the learner cannot be given another loss, or the model is for rankings.
    DataError
        From `update`: the loss diverges.

    References
    ----------
    Cai et al. 2022, ReLoop: a self-correction continual learning loop for recommender systems (KD is its rival there).
    Hinton et al. 2015, Distilling the knowledge in a neural network.
    Buzzega et al. 2020, Dark experience for general continual learning.

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.kd import KD
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, KD(FineTune(), weight=0.2), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.596
    """

    learner: Strategy
    weight: float = 0.2
    temperature: float = 1.0
    search_space: ClassVar[SearchSpace] = {"weight": NumberRange(0.05, 0.8)}
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

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What the learner starts with. Raises PlanError for a ranking."""
        check_labels(model, "KD")
        started = self.learner.start(model, weights, with_predictions(model, weights, logs))
        return Checkpoint(logs.period, started.weights, pack("learner", started.memory))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Let the teacher predict, then the learner learn. Raises DataError if the loss diverges."""
        check_labels(model, "KD")
        require_keys(checkpoint.memory, (), "KD")
        student = Checkpoint(checkpoint.period, checkpoint.weights, unpack("learner", checkpoint.memory))
        objective = Distil(1 - self.weight, self.weight, self.temperature)
        with_targets = with_predictions(model, checkpoint.weights, logs)
        learned = update_learner(self.learner, "KD's learner", model, student, with_targets, objective)
        return Checkpoint(logs.period, learned.weights, pack("learner", learned.memory))
