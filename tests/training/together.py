"""What each process of a group does in `test_process_group`; the first prints a JSON document."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import replace

import torch

from nightloop.tasks.data.histories import with_histories
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.models.lr import LR
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.process_group import divided, exchange, process_group
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make

TRAINING = TrainConfig(epochs=2, batch_size=2048, lr=0.05, l2=0.01, parts=3)
CLICKS = make((15, 40, 7), 2500, numeric=2, labels=True)
FITS = {
    "DeepFM": (DeepFM(("user", "item", "c0"), 2, width=4, hidden=(8,)), CLICKS, TRAINING),
    "dropout and adam": (
        DeepFM(("user", "item", "c0"), 2, width=4, hidden=(8,)), CLICKS,
        replace(TRAINING, dropout=0.3, optimizer="adam", weight_decay=0.1),
    ),
    "one part": (LR(("user", "item"), 0), make((15, 40), 600, labels=True), replace(TRAINING, batch_size=300)),
    "ranking": (GRU4Rec(5, width=8), with_histories(make((15, 40), 2100), 5), replace(TRAINING, negatives=2)),
}  # fmt: skip


def fitted() -> dict[str, str]:
    """A hash of the weights of every fit."""
    return {
        name: _hash(fit(model, initial_weights(model, logs), logs, training).weights)
        for name, (model, logs, training) in FITS.items()
    }


def _hash(weights: Weights) -> str:
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


def message_of(work: Callable[[], object]) -> str:
    """The message of the error that `work` raises."""
    try:
        work()
    except (BrokenExecutor, PlanError) as error:
        return str(error)
    return ""


def main() -> None:
    """All that two processes are to show."""
    torch.set_num_threads(1)
    first = os.environ["RANK"] == "0"
    model, logs, training = FITS["DeepFM"]
    weights = initial_weights(model, logs)
    with process_group():
        with divided():
            found = fitted()
            cuda = message_of(lambda: fit(model, weights, logs, replace(training, device="cuda")))
        alone = _hash(fit(model, weights, logs, training).weights) if first else ""  # outside of `divided`
        other = message_of(lambda: exchange("work" if first else "end", "" if first else "the disk is full"))
        exchange("work", None)
        if first:
            ended = message_of(lambda: exchange("gradients", None))
            json.dump({"fits": found, "alone": alone, "cuda": cuda, "other": other, "ended": ended}, sys.stdout)
            sys.stdout.flush()
        os._exit(0)  # the second ends without a word


if __name__ == "__main__":
    main()
