"""Kept: what a model needs of past logs besides its weights, carried in a checkpoint where no strategy sees it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model, StatefulModel

FOLDER = "kept"


def without_state(weights: Weights) -> dict[str, Tensor]:
    """What is learned: the weights without what is kept."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith(f"{FOLDER}/")}


def state_of(weights: Weights) -> dict[str, Tensor]:
    """What is kept, by names without their folder; nothing: an empty dict."""
    return unpack(FOLDER, weights)


def with_state(model: Model, weights: Weights, logs: Logs) -> Model:
    """The model as strategies are to have it on the night of `logs.period`, after a night that closed with `weights`."""
    return model.at(without_state(weights), state_of(weights), logs) if isinstance(model, StatefulModel) else model


def update_state(model: Model, checkpoint: Checkpoint) -> Checkpoint:
    """What a strategy made with tonight's model, with what is kept of the night."""
    if not isinstance(model, StatefulModel):
        return checkpoint
    return replace(checkpoint, weights={**checkpoint.weights, **pack(FOLDER, model.keep())})
