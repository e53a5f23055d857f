"""SML: a transfer, itself learned from period to period, makes what is served of yesterday's weights and today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.meta_state import MetaState, load_meta_state, new_meta_state
from nightloop.tasks.meta.sml_batches import Batches
from nightloop.tasks.meta.sml_training import TransferInputs, learn_through, learn_transfer
from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.meta.transfer_set import TransferSet, active_rows
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes, update_learner
from nightloop.tasks.retraining.strategy import Strategy


@dataclass(frozen=True)
class SML:
    """Sequential meta-learning (Zhang et al. 2020): W_t = f(W_t-1, W^_t), where f learns from the period after.

    The task of period t is opened at its close: W^_t, begun at W_t-1, learns from D_t (step 1), and f(W_t-1, W^_t) is
    served. It is finished at the close of t + 1, when D_t+1 has been scored: `rounds` times f learns from D_t+1 (step
    2) and, before every round but the first, W^_t from D_t again; then W_t = f(W_t-1, W^_t). In step 1 the loss is that
    of f's output (`learner` None) or, with a `learner`, W^_t is whatever it makes of W_t-1 and D_t (`SML-FP` is the
    learner FineTune). Each round begins at the `output` of f, as in the authors' code, or at what was `learned`.

    `train_on` `next` is the paper; `same` lets f learn from D_t itself (SML-N). After `freeze` finished tasks f stays as it
    is (SML-S; None: never). `mask_inactive` leaves rows that D_t does not have as they are; published, f moves all.
    `batches` `by_user` sends half as many rows through f for each interaction learned from (see `batches.py`).
    Layers left out of f (SML-CNN, SML-FC) and its residual form are options of `transfer`. A period must follow
    the one before: a skipped period has a night without rows, which keeps the task and closes it as it is.
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

    def __post_init__(self) -> None:
        refuse_outside("rounds", self.rounds, ROUNDS, what="each is a step 1 and a step 2")
        if self.freeze is not None and self.freeze < 0:
            raise PlanError(f"freeze: given {self.freeze}; it counts finished tasks, 0 or more, or null for never")

    @property
    def lookback(self) -> int:
        """The newest period and the one before, whose task it finishes; more where the learner reads more."""
        return max(2, self.learner.lookback if self.learner else 1)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models the learner goes with; None: all."""
        return getattr(self.learner, "models", None)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights are served and are W_0; transfers at their first values, no task open."""
        meta = new_meta_state(self._transfers(model, weights, logs))
        memory = {**pack("meta", meta.memory()), "finished": torch.tensor([0])}
        if self.learner:
            memory |= pack("learner", self.learner.start(model, weights, logs).memory)
        return Checkpoint(logs.period, weights, memory)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Finish the open task on the newest period, open the newest period's. ValueError where a loss diverges."""
        carry, memory = TransferSet(self.transfer, model.fields), checkpoint.memory
        require_keys(memory, ("finished", "meta/adam/first", "meta/adam/steps"), "SML", ("learner", "task"))
        require_shapes(
            memory, pack("meta", new_meta_state(self._transfers(model, checkpoint.weights, logs)).memory()), "SML"
        )
        meta, finished = load_meta_state(unpack("meta", memory)), int(memory["finished"])
        base: Weights = checkpoint.weights
        task = unpack("task", memory)
        frozen = self.freeze is not None and finished >= self.freeze
        if task and not frozen:
            meta, base = self._finished(model, carry, meta, task, logs)
            finished += 1
        newest = logs.since(logs.period)
        learned, kept = self._opened(
            model, carry, meta, Checkpoint(logs.period - 1, base, unpack("learner", memory)), logs
        )
        served = carry.whole(meta.parameters, base, learned, self._moving(model, newest))
        memory = {
            **pack("meta", meta.memory()), "finished": torch.tensor([finished]), **pack("learner", kept),
            **pack("task/before/weights", base), **pack("task/learned/weights", learned),
        }  # fmt: skip
        return Checkpoint(logs.period, served, memory)

    def _transfers(self, model: Model, weights: Weights, logs: Logs) -> dict[str, Tensor]:
        return TransferSet(self.transfer, model.fields).parameters(model, weights, logs.generator("sml/transfer"))

    def _finished(
        self, model: Model, carry: TransferSet, meta: MetaState, task: Weights, logs: Logs
    ) -> tuple[MetaState, dict[str, Tensor]]:
        """Step 2, and step 1 again, for the period before the newest; the transfers, and W of that period."""
        before, learned = unpack("before/weights", task), unpack("learned/weights", task)
        newest, own = logs.since(logs.period), logs.select(logs.periods == logs.period - 1)
        moving = self._moving(model, own)
        done: dict[str, Tensor] = learned
        for number in range(self.rounds):
            if number and self.learner is None:
                again = learned if self.start_from == "learned" else done
                anew = replace(own, seed=own.seed + number)  # another order and other negatives every round
                learned = learn_through(
                    model, carry, meta, TransferInputs(before, again), anew, self.learner_training, self.batches
                )
            judged = replace(newest if self.train_on == "next" else own, seed=own.seed + number)
            meta = learn_transfer(
                model, carry, meta, TransferInputs(before, learned), judged, self.transfer_training, self.batches
            )
            if self.start_from == "output" or number + 1 == self.rounds:
                done = carry.whole(meta.parameters, before, learned, moving)
        return meta, done

    def _opened(
        self, model: Model, carry: TransferSet, meta: MetaState, base: Checkpoint, logs: Logs
    ) -> tuple[dict[str, Tensor], Weights]:
        """Step 1 on the newest period: what is learned of the base's weights, and the learner's memory."""
        if self.learner is None:
            newest = logs.since(logs.period)
            past = TransferInputs(base.weights, base.weights)
            return learn_through(model, carry, meta, past, newest, self.learner_training, self.batches), {}
        found = update_learner(self.learner, "SML's learner", model, base, logs)
        return dict(found.weights), found.memory

    def _moving(self, model: Model, logs: Logs) -> Mapping[str, Tensor] | None:
        """Rows that the transfer may move; None: all."""
        return active_rows(logs.rows, logs.fields, model.fields) if self.mask_inactive else None
