"""GPU: train a click model or MF on a GPU. The rows, their order and all random numbers are those of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.loss import Batch, Loss, cross_entropy
from nightloop.tasks.modules.model import Model, StatefulModel
from nightloop.tasks.modules.ranking_loss import RankingLoss
from nightloop.tasks.modules.regularizers import Regularizer
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.training.process_group import group_size
from nightloop.tasks.training.step import Step, StepRows


def device_of(model: Model, training: TrainConfig) -> torch.device:
    """The device of a training run.

    Raises PlanError if the model, or a group of processes, trains on the CPU alone, and ConflictError if torch finds no GPU.
    """
    if training.device == "cpu":
        return torch.device("cpu")
    if isinstance(model, StatefulModel):
        training.refuse_gpu(type(model).__name__)
    if group_size() > 1:
        raise PlanError("training: device: given 'cuda'; the processes of torchrun train on the CPU: leave it out")
    if not torch.cuda.is_available():
        raise ConflictError(
            "training: device: given 'cuda'; torch finds no GPU on this machine. Run the night where there is one, with a torch "
            "that is built for it, or leave the device out"
        )
    return torch.device("cuda")


def on_device(device: torch.device, logs: Logs, regularizer: Regularizer, loss: Loss) -> tuple[Logs, Regularizer, Loss]:
    """What a step reads, on a device. A strategy's own loss is computed on the CPU, where its tensors are."""
    if device.type == "cpu":
        return logs, regularizer, loss

    def move(pair: tuple[Tensor, Tensor | None] | None) -> tuple[Tensor, Tensor | None] | None:
        return None if pair is None else (pair[0].to(device), None if pair[1] is None else pair[1].to(device))

    moved = {name: getattr(logs, name).to(device) for name in ("rows", "numeric", "label", "values")}
    if isinstance(loss, RankingLoss):
        loss = loss if loss.shift is None else replace(loss, shift=loss.shift.to(device))
    elif loss is not cross_entropy:
        loss = _on_cpu(loss)
    return (
        replace(logs, **moved),
        replace(regularizer, table=move(regularizer.table), flat=move(regularizer.flat)),
        loss,
    )


def step_on_device(device: torch.device, step: Step) -> Step:
    """The step, which makes its new tensors on the device and gets its rows there."""
    if device.type == "cpu":
        return step

    def run(rows: StepRows) -> Tensor:
        with torch.device(device):
            negatives, real = (None if part is None else part.to(device) for part in (rows.negatives, rows.real))
            return step(StepRows(rows.positions.to(device), negatives, real))

    return run


def _on_cpu(loss: Loss) -> Callable[[Batch], Tensor]:
    def computed(batch: Batch) -> Tensor:
        with torch.device("cpu"):
            logits, label, positions, rows, embedded = (part.cpu() for part in batch[:5])
            positive = None if batch.positive is None else batch.positive.cpu()
            return loss(Batch(logits, label, positions, rows, embedded, batch.taken, positive)).to(batch.logits.device)

    return computed
