"""Checkpoint memory: what strategies read from a checkpoint's memory, and the errors if another strategy wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Loss, Objective
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.retraining.advance import recent_rows
from nightloop.tasks.retraining.strategy import Strategy, Teachable, lookback_of
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.weight_average import Snapshot

SHOWN = 6  # most names in a message


def require_keys(
    memory: Weights, names: Sequence[str], strategy: str, optional_folders: Sequence[str] = ("learner", "optimizer")
) -> None:
    """Raises DataError if a memory lacks one of the `names`, or has folders besides theirs and the `optional_folders`.

    A name that ends in / is a folder with something in it.
    """
    missing = [name for name in names if not _has(memory, name)]
    folders = {name.split("/")[0] for name in (*names, *optional_folders)}
    unexpected = [name for name in sorted(memory) if name.split("/")[0] not in folders]
    if missing or unexpected:
        expected = ", ".join(missing) or f"nothing but {', '.join(sorted(folders))}"
        raise DataError(
            f"{strategy} expects {expected} in a checkpoint's memory; given is {_join_names(unexpected or memory)}: "
            "another strategy, or other options, made it. Start a new chain from its weights"
        )


def require_shapes(memory: Weights, expected: Mapping[str, Tensor], strategy: str) -> None:
    """Raises DataError if tensors of `expected` are missing in a memory or have another shape."""
    wrong = sorted(name for name in expected if _shape(memory, name) != _shape(expected, name))
    if wrong:
        first = wrong[0]
        raise DataError(
            f"{strategy} expects {first} to be {_shape(expected, first)}, given is {_shape(memory, first)} "
            f"({len(wrong)} differ): the checkpoint was made with other options, or for another model. "
            "Start a new chain from its weights"
        )


def fit_and_keep(
    model: Model,
    checkpoint: Checkpoint,
    logs: Logs,
    training: TrainConfig,
    loss: Loss,
    optimizer: Literal["keep", "reset"],
    penalty: Penalty | None = None,
) -> Checkpoint:
    """Train a checkpoint's weights further, from the optimiser's state that it has. With `keep` the new state is in the memory."""
    state = unpack("optimizer", checkpoint.memory) or None
    fitted = fit(model, checkpoint.weights, logs, training, loss, state=state, penalty=penalty)
    return Checkpoint(logs.period, fitted.weights, pack("optimizer", fitted.optimizer) if optimizer == "keep" else {})


def update_learner(
    learner: Strategy, where: str, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective | None = None
) -> Checkpoint:
    """The learner's own update on the periods it looks back on, with another loss if an `objective` is given.

    A ValueError becomes a DataError whose message begins with `where` and the learner's name.
    """
    rows = recent_rows(logs, lookback_of(learner, model))
    try:
        if objective is None:
            return learner.update(model, checkpoint, rows)
        return cast(Teachable, learner).learn(model, checkpoint, rows, objective)
    except ValueError as error:
        raise DataError(f"{where} {type(learner).__name__}: {error}") from error


def pack_snapshots(pool: Sequence[Snapshot]) -> dict[str, Tensor]:
    """Weights of the past as a memory: `pool/<j>/weights/...`, newest first, and their periods."""
    memory: dict[str, Tensor] = {"pool/periods": torch.tensor([past.period for past in pool], dtype=torch.int64)}
    for number, past in enumerate(pool):
        memory |= pack(f"pool/{number}/weights", past.weights)
    return memory


def past_weights(memory: Weights) -> list[Snapshot]:
    """The pool that `pack_snapshots` wrote."""
    periods = memory["pool/periods"].tolist()
    return [Snapshot(unpack(f"pool/{number}/weights", memory), period) for number, period in enumerate(periods)]


def to_memory(served: Tensor) -> Tensor:
    """Served probabilities [n] for a memory, which may not hold NaN: -1 says that there was none."""
    return torch.nan_to_num(served, nan=-1.0)


def from_memory(served: Tensor) -> Tensor:
    """What `to_memory` wrote, NaN if there was none."""
    return torch.where(served < 0, torch.nan, served)


def _has(memory: Weights, name: str) -> bool:
    return any(one.startswith(name) for one in memory) if name.endswith("/") else name in memory


def _shape(tensors: Weights, name: str) -> object:
    return list(tensors[name].shape) if name in tensors else "absent"


def _join_names(memory: Iterable[str]) -> str:
    names = sorted(memory)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}" if names else "an empty memory"
