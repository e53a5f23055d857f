"""State: what a model needs of past logs besides its weights. A checkpoint carries it; strategies do not see it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model, StatefulModel

FOLDER = "kept"


def without_state(weights: Weights) -> dict[str, Tensor]:
    """The trained weights, without the state."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith(f"{FOLDER}/")}


def state_of(weights: Weights) -> dict[str, Tensor]:
    """The state by names without their folder; empty if there is none."""
    return unpack(FOLDER, weights)


def with_state(model: Model, weights: Weights, logs: Logs) -> Model:
    """The model for the night of `logs.period`, with the state of the `weights` of the night before."""
    return model.at(without_state(weights), state_of(weights), logs) if isinstance(model, StatefulModel) else model


def update_state(model: Model, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint of a strategy, with the state of this night's model."""
    if not isinstance(model, StatefulModel):
        return checkpoint
    return replace(checkpoint, weights={**checkpoint.weights, **pack(FOLDER, model.keep())})
