"""TrainConfig: the settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from nightloop.tasks.plan.bounds import ROUNDS, ROWS, bounds_in_words, is_whole
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace

Optimizer = Literal["adagrad", "adam"]
Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
RankingLossName = Literal["bce", "bpr", "softmax"]
Sampling = Literal["uniform", "frequency"]
RANKING_OPTIONS = {"negatives": 1, "loss": "bce", "sampling": "uniform"}  # with their defaults
TRAINING_SPACE: SearchSpace = {  # what is worth tuning, for strategies with an option `training`
    "training.lr": NumberRange(0.01, 0.3, log=True),
    "training.l2": NumberRange(0.0005, 0.1, log=True),
    "training.epochs": NumberRange(1, 40, log=True),
    "training.batch_size": (256, 1024, 4096),
    "training.negatives": (1, 4, 16),  # this and the loss only in a ranking
    "training.loss": ("bce", "softmax"),
    "training.dense_lr": NumberRange(0.0001, 0.01, log=True),  # only if the model has other weights than tables
}
SMALLEST = 16  # rows of a batch that is made smaller for more steps


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run.

    Tables are trained row by row: only rows that occur in a batch move, and each row has its own step size. All other
    weights are trained by Adam. The result is the same bytes on any number of cores.

    Parameters
    ----------
    epochs : int, default 5
        Passes over the rows, each in a new order. 0 trains nothing.
    batch_size : int, default 1024
        Rows a step. A ranking has as many sampled negatives besides. A larger batch is faster a row and makes fewer
        steps.
    lr : float, default 0.05
        Learning rate of the tables. If it is too large, training diverges, which is an error that names the epoch.
    optimizer : {"adagrad", "adam"}, default "adagrad"
        Rule for the tables. "adagrad" keeps one number for each row, "adam" the row's width and two more. Both move
        only rows that occur.
    l2 : float, default 0.0
        Weight of half of a row's squared length. It is added once for each time that the row occurs, so that rows
        without data never shrink.
    dense_lr : float, default 0.001
        Learning rate of all other weights, by Adam.
    precision : {"float32", "bfloat16"}, default "float32"
        Precision of the matrix products of the layers; a model without layers is not affected. It is an option because
        it changes results in the third digit. On a processor without bfloat16 instructions it is slower, not faster.
    parts : int, default 2
        A batch is split into at most this many parts (1 to 64) of 512 rows or more, each for its own thread. MF and
        LightGCN always have one part, because their steps take no longer than splitting does. The last digits of sums
        depend on it, so it is an option and not the number of cores.
    dropout : float, default 0.0
        Chance that a number of a hidden layer is left out in a step, from 0 to less than 1. Only for models with a
        perceptron. It helps where many epochs are trained; one or two passes over new rows hardly overfit.
    lr_decay : float, default 1.0
        Factor on both learning rates after each epoch, above 0 and at most 1.
    weight_decay : float, default 0.0
        Share by which all rows of the tables shrink after each epoch, also rows without data, from 0 to less than 1.
        `l2` shrinks only rows that occur.
    negatives : int, default 1
        Sampled items for each positive in a ranking, 1 to 1,000. More make each step more exact and take proportionally
        longer.
    loss : {"bce", "bpr", "softmax"}, default "bce"
        What a ranking is trained on. "bce": binary cross-entropy of positives and negatives. "bpr": a positive should
        score higher than each of its negatives. "softmax": a positive should be the highest among its negatives; it
        wants many negatives.
    sampling : {"uniform", "frequency"}, default "uniform"
        How negatives are drawn: each item with the same chance, or in proportion to its rows in the training data. With
        "frequency" the scores in the loss are corrected by the logarithm of that chance.
    device : {"cpu", "cuda"}, default "cpu"
        Where click models and MF are trained. With "cuda" on the first GPU, in float32 or bfloat16; rows, their order and
        all random numbers are those of the CPU. Results are as good, and differ in their last digits. Other models, and the
        training that SML and ASMG do themselves, refuse it.

    Raises
    ------
    PlanError
        An option is out of range. The message names every wrong option and what is allowed.

    References
    ----------
    Duchi et al. 2011, Adaptive subgradient methods for online learning and stochastic optimization (Adagrad). Kingma
    and Ba 2015, Adam: a method for stochastic optimization. Rendle et al. 2009, BPR. Yi et al. 2019, Sampling-bias-corrected
    neural modeling for large corpus item recommendations.

    Examples
    --------
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> TrainConfig(epochs=1, batch_size=256, lr=0.02).optimizer
    'adagrad'
    >>> TrainConfig(epochs=-1)
    Traceback (most recent call last):
    nightloop.tasks.plan.errors.PlanError: training: epochs: given -1; allowed are whole numbers from 0 to 1,000
    """

    epochs: int = 5
    batch_size: int = 1024
    lr: float = 0.05
    optimizer: Optimizer = "adagrad"
    l2: float = 0.0
    dense_lr: float = 0.001
    precision: Precision = "float32"
    parts: int = 2
    dropout: float = 0.0
    lr_decay: float = 1.0
    weight_decay: float = 0.0
    negatives: int = 1
    loss: RankingLossName = "bce"
    sampling: Sampling = "uniform"
    device: Device = "cpu"

    def __post_init__(self) -> None:
        below_one = "numbers from 0 to less than 1"
        checks = {
            "epochs": (is_whole(self.epochs, ROUNDS, 0), bounds_in_words(ROUNDS, 0)),
            "batch_size": (is_whole(self.batch_size, ROWS), bounds_in_words(ROWS)),
            "lr": (_number(self.lr) and self.lr > 0, "numbers above 0"),
            "optimizer": (self.optimizer in get_args(Optimizer), ", ".join(get_args(Optimizer))),
            "l2": (_number(self.l2) and self.l2 >= 0, "numbers from 0"),
            "dense_lr": (_number(self.dense_lr) and self.dense_lr > 0, "numbers above 0"),
            "parts": (is_whole(self.parts, 64), bounds_in_words(64)),
            "dropout": (_number(self.dropout) and 0 <= self.dropout < 1, below_one),
            "lr_decay": (_number(self.lr_decay) and 0 < self.lr_decay <= 1, "numbers above 0 and at most 1"),
            "weight_decay": (_number(self.weight_decay) and 0 <= self.weight_decay < 1, below_one),
            "negatives": (is_whole(self.negatives, 1000), bounds_in_words(1000)),
            "loss": (self.loss in get_args(RankingLossName), ", ".join(get_args(RankingLossName))),
            "sampling": (self.sampling in get_args(Sampling), ", ".join(get_args(Sampling))),
            "precision": (self.precision in get_args(Precision), ", ".join(get_args(Precision))),
            "device": (self.device in get_args(Device), ", ".join(get_args(Device))),
        }
        wrong = [
            f"{name}: given {getattr(self, name)!r:.80}; allowed are {allowed}"
            for name, (valid, allowed) in checks.items()
            if not valid
        ]
        if wrong:
            raise PlanError("training: " + "; ".join(wrong))

    def refuse_ranking_options(self, user: str, *options: str) -> None:
        """Raise PlanError if an option of rankings is set where it has no effect. `options`: only these; none: all."""
        wrong = [name for name in options or RANKING_OPTIONS if getattr(self, name) != RANKING_OPTIONS[name]]
        if wrong:
            given = ", ".join(f"{name} {getattr(self, name)!r}" for name in wrong)
            raise PlanError(f"training: given {given}; {user} does not use {' and '.join(wrong)}: leave it out")

    def refuse_gpu(self, user: str) -> None:
        """Raise PlanError if `user`, which trains on the CPU alone, is given a GPU."""
        if self.device != "cpu":
            raise PlanError(f"training: device: given {self.device!r}; {user} trains on the CPU: leave it out")

    def with_steps(self, rows: int, least: int) -> TrainConfig:
        """The same settings with a batch so small that there are at least `least` steps; a batch has `SMALLEST` rows or more.

        A generator or a transfer learns little from the few steps that a large batch leaves of a small period.

        Examples
        --------
        >>> from nightloop.tasks.modules.train_config import TrainConfig
        >>> [TrainConfig(epochs=1, batch_size=1024).with_steps(rows, 100).batch_size for rows in (1_000_000, 7_000, 50)]
        [1024, 70, 16]
        """
        if not least:
            return self
        small = max(rows * max(self.epochs, 1) // least, SMALLEST)
        return replace(self, batch_size=min(self.batch_size, small))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
