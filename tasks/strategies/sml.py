"""SML: a transfer, itself learned from period to period, makes the served weights from yesterday's and today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.meta_state import MetaState, load_meta_state, new_meta_state
from nightloop.tasks.meta.sml_batches import Batches
from nightloop.tasks.meta.sml_training import TransferInputs, learn_model, learn_transfer
from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.meta.transfer_set import TransferSet, active_rows
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.bounds import ROUNDS, ROWS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes, update_learner
from nightloop.tasks.retraining.strategy import Strategy, refuse_composed


@dataclass(frozen=True)
class SML:
    """Sequential meta-learning: serves what a learned transfer makes of yesterday's weights and today's.

    W_t = f(W_t-1, W^_t), with W^_t learned from period t. The transfer f learns from the period after.

    The task of period t is opened at its close: W^_t, started at W_t-1, learns from D_t (step 1), and f(W_t-1, W^_t) is
    served. The task is finished at the close of t + 1, after D_t+1 has been scored. `rounds` times f learns from D_t+1
    (step 2); before every round but the first, W^_t learns from D_t again. Then W_t = f(W_t-1, W^_t).

    A period must follow the one before. A skipped period is a night without rows, which keeps the task and closes it as
    it is.

    Parameters
    ----------
    learner : Strategy or None, default None
        None: in step 1 the loss is that of the output of f. With a strategy, W^_t is what it makes of W_t-1 and D_t;
        SML-FP of the paper is the learner FineTune.
    transfer : Transfer, default Transfer()
        The network f. SML-CNN, SML-FC, averages, the MLP and the residual, gated and normalised forms are its
        options.
    rounds : int, default 7
        Times that both steps are repeated for each task, 1 or more. 7 is the value of the authors' code for Adressa;
        for Yelp it is 10. Time is proportional to it.
    learner_training : TrainConfig, default 1 epoch, batch size 1024, Adam with lr 0.01, l2 0.001
        Step 1 without a `learner`. Epochs, batch size, optimiser and lr are those of the authors' code.
    transfer_training : TrainConfig, default 1 epoch, batch size 256, Adam with lr 0.001, l2 0.0001
        Step 2; `l2` acts on the parameters of f. The values are those of the authors' code.
    min_steps : int, default 300
        Not in the paper. Fewest steps of step 2 in a round: both batches are made smaller by the same factor until there
        are so many. The periods of the paper's Yelp data have 293; 7,000 rows would have 28, which is too few to learn a
        transfer from. 0: the batch sizes as they are.
    start_from : {"output", "learned"}, default "output"
        Where W^_t starts in every round but the first: at the output of f, as in the authors' code, or at W^_t itself.
    train_on : {"next", "same"}, default "next"
        What f learns from: D_t+1, as in the paper, or D_t itself (SML-N).
    freeze : int or None, default None
        Number of finished tasks after which f is no longer trained (SML-S), 0 or more. None: f is always trained.
    mask_inactive : bool, default False
        True leaves rows that do not occur in D_t as they are. The published method transfers all rows.
    batches : {"shuffled", "by_user"}, default "shuffled"
        `by_user` sends half as many rows through f for each interaction; see `nightloop.tasks.meta.sml_batches`.

    Raises
    ------
    PlanError
        `rounds` or `freeze` is out of range.
    DataError
        From `update`: a loss diverges, or the memory was made with other options.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method. Its code is zyang1580/SML.

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.meta.transfer import Transfer
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.sml import SML
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, SML(FineTune(), Transfer("average"), rounds=2), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.649
    """

    learner: Strategy | None = None
    transfer: Transfer = Transfer()  # noqa: RUF009 (frozen)
    rounds: int = 7
    learner_training: TrainConfig = TrainConfig(epochs=1, batch_size=1024, lr=0.01, optimizer="adam", l2=0.001)  # noqa: RUF009 (frozen)
    transfer_training: TrainConfig = TrainConfig(epochs=1, batch_size=256, lr=0.001, optimizer="adam", l2=0.0001)  # noqa: RUF009 (frozen)
    start_from: Literal["output", "learned"] = "output"
    train_on: Literal["next", "same"] = "next"
    freeze: int | None = None
    mask_inactive: bool = False
    batches: Batches = "shuffled"
    min_steps: int = 300
    search_space: ClassVar[SearchSpace] = {
        "rounds": NumberRange(2, 10),
        "learner_training.lr": NumberRange(0.001, 0.1, log=True),
        "transfer_training.lr": NumberRange(0.0003, 0.01, log=True),
        "min_steps": NumberRange(75, 600, log=True),
        "mask_inactive": (False, True),
    }

    def __post_init__(self) -> None:
        if self.learner is not None:
            refuse_composed(self.learner, "SML")
        for training in (self.learner_training, self.transfer_training):
            training.refuse_ranking_options("SML")
            training.refuse_gpu("SML")
        refuse_outside("min_steps", self.min_steps, ROWS, 0, "the fewest steps of an epoch of step 2")
        refuse_outside("rounds", self.rounds, ROUNDS, what="each is a step 1 and a step 2")
        if self.freeze is not None and self.freeze < 0:
            raise PlanError(f"freeze: given {self.freeze}; it counts finished tasks, 0 or more, or null for never")

    @property
    def lookback(self) -> int:
        """The newest period and the one before, whose task is finished; more if the learner reads more."""
        return max(2, self.learner.lookback if self.learner else 1)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights are served and are W_0; transfers at their first values, no open task."""
        meta = new_meta_state(self._transfers(model, weights, logs))
        memory = {**pack("meta", meta.memory()), "finished": torch.tensor([0])}
        if self.learner:
            memory |= pack("learner", self.learner.start(model, weights, logs).memory)
        return Checkpoint(logs.period, weights, memory)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Finish the open task on the newest period, then open the task of the newest period."""
        transfers, memory = TransferSet(self.transfer, model.fields), checkpoint.memory
        require_keys(memory, ("finished", "meta/adam/first", "meta/adam/steps"), "SML", ("learner", "task"))
        expected = new_meta_state(self._transfers(model, checkpoint.weights, logs)).memory()
        require_shapes(memory, pack("meta", expected), "SML")
        meta, finished = load_meta_state(unpack("meta", memory)), int(memory["finished"])
        base: Weights = checkpoint.weights
        task = unpack("task", memory)
        frozen = self.freeze is not None and finished >= self.freeze
        if task and not frozen:
            meta, base = self._finish_task(model, transfers, meta, task, logs)
            finished += 1
        newest = logs.since(logs.period)
        before = Checkpoint(logs.period - 1, base, unpack("learner", memory))
        learned, learner_memory = self._open_task(model, transfers, meta, before, logs)
        served = transfers.transfer_all(meta.parameters, base, learned, self._rows_to_transfer(model, newest))
        memory = {
            **pack("meta", meta.memory()), "finished": torch.tensor([finished]), **pack("learner", learner_memory),
            **pack("task/before/weights", base), **pack("task/learned/weights", learned),
        }  # fmt: skip
        return Checkpoint(logs.period, served, memory)

    def _transfers(self, model: Model, weights: Weights, logs: Logs) -> dict[str, Tensor]:
        return TransferSet(self.transfer, model.fields).parameters(model, weights, logs.generator("sml/transfer"))

    def _finish_task(
        self, model: Model, transfers: TransferSet, meta: MetaState, task: Weights, logs: Logs
    ) -> tuple[MetaState, dict[str, Tensor]]:
        """Step 2, and step 1 again, for the period before the newest; the transfers, and W of that period."""
        before, learned = unpack("before/weights", task), unpack("learned/weights", task)
        newest, task_rows = logs.since(logs.period), logs.select(logs.periods == logs.period - 1)
        rows_to_transfer = self._rows_to_transfer(model, task_rows)
        output: dict[str, Tensor] = learned
        first_training = self._first_training(task_rows)
        for number in range(self.rounds):
            seed = task_rows.seed + number  # another order and other negatives every round
            if number and self.learner is None:
                inputs = TransferInputs(before, learned if self.start_from == "learned" else output)
                rows = replace(task_rows, seed=seed)
                learned = learn_model(model, transfers, meta, inputs, rows, first_training, self.batches)
            target = replace(newest if self.train_on == "next" else task_rows, seed=seed)
            training = self.transfer_training.with_steps(len(target), self.min_steps)
            inputs = TransferInputs(before, learned)
            meta = learn_transfer(model, transfers, meta, inputs, target, training, self.batches)
            if self.start_from == "output" or number + 1 == self.rounds:
                output = transfers.transfer_all(meta.parameters, before, learned, rows_to_transfer)
        return meta, output

    def _open_task(
        self, model: Model, transfers: TransferSet, meta: MetaState, base: Checkpoint, logs: Logs
    ) -> tuple[dict[str, Tensor], Weights]:
        """Step 1 on the newest period: W^ learned from the base's weights, and the learner's memory."""
        if self.learner is None:
            newest = logs.since(logs.period)
            inputs = TransferInputs(base.weights, base.weights)
            return learn_model(model, transfers, meta, inputs, newest, self._first_training(newest), self.batches), {}
        learned = update_learner(self.learner, "SML's learner", model, base, logs)
        return dict(learned.weights), learned.memory

    def _first_training(self, logs: Logs) -> TrainConfig:
        """The settings of step 1, its batch smaller by the factor by which that of step 2 is."""
        second, first = self.transfer_training, self.learner_training
        steps = -(-self.min_steps * second.batch_size // first.batch_size)
        return first.with_steps(len(logs), steps)

    def _rows_to_transfer(self, model: Model, logs: Logs) -> Mapping[str, Tensor] | None:
        """Rows that the transfer may change; None: all."""
        return active_rows(logs.rows, logs.fields, model.fields) if self.mask_inactive else None
