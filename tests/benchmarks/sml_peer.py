"""The authors' side of `sml_speed` and `yelp_shape`: zyang1580/SML's own training loop, in a process of its own, on the CPU.

Run as `python sml_peer.py CHECKOUT PERIODS.npz ROUNDS`. Prints as one line of JSON the seconds of one period of SML with so
many rounds, of SML-S, and of one step of full retrain: its class and the rule of its `base_train`, without its loading of
rows. What is patched: devices, the evaluation inside training (it returns noughts), and what newer
versions of its libraries dropped. Imports nothing of nightloop.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

WIDTH, CANDIDATES = 64, 999
BATCH, STEPS = 256, 60  # of full retrain; steps that are timed
ARGUMENTS: dict[str, Any] = {  # the defaults of its main_yelp.py
    "data_name": "yelp", "MF_lr": 0.01, "MF_epochs": 1, "l2": 1e-6, "MF_batch_size": 1024, "MF_sample": "all",
    "Load_W_hat": False, "clip_grad": False, "need_adaptive": False, "TR_lr": 0.001, "TR_l2": 1e-4, "TR_epochs": 1,
    "TR_batch_size": 256, "TR_sample_type": "alone", "TR_with_MF_bias": False, "transfer_type": "conv_com",
    "numworkers": 0, "topK": 20, "norm": False, "need_writer": False, "test_in_TR_Train": False,
}  # fmt: skip


class Periods:
    """What its `transfer_data` gives at each stage: the period with candidates, the next one, rows to be tested on."""

    def __init__(self, now: np.ndarray[Any, Any], then: np.ndarray[Any, Any], items: int) -> None:
        drawn = np.random.default_rng(0).integers(items, size=(len(now), CANDIDATES))
        self.now, self.then = np.concatenate([now, drawn], 1), then
        self.frozen = False

    def next_train(self, stage: int) -> tuple[object, ...]:
        """Where nothing teaches the transfer, the stage is one of SML-S."""
        return (self.now, None, self.now[:1], None) if self.frozen else (self.now, self.then, None, None)


def patched(checkout: Path, users: int, items: int) -> ModuleType:
    """Its module `model.transfer`, able to run here, with a pre-trained model of these sizes."""
    sys.path.insert(0, str(checkout))
    for kind in (torch.Tensor, torch.nn.Module):
        kind.cuda = lambda self, *_, **__: self
    np.long = np.int64
    boards = ModuleType("torch.utils.tensorboard")
    boards.SummaryWriter = None  # type: ignore[attr-defined]
    sys.modules["torch.utils.tensorboard"] = boards
    import model.transfer as authors  # type: ignore[import-not-found]

    authors.test_model = lambda *_, **__: (0.0, torch.zeros(()))
    pretrained = authors.MF.MFbasemode(num_user=users, num_item=items, laten_factor=WIDTH)
    vars(torch)["load"] = lambda *_, **__: pretrained
    return authors


def main(checkout: Path, rows: str, rounds: int) -> dict[str, float]:
    """Seconds of a period of SML and of SML-S, and of a step of full retrain."""
    torch.manual_seed(0)
    with np.load(rows) as data:
        users, items = (int(size) for size in data["sizes"])
        periods = Periods(data["now"], data["then"], items)
    authors = patched(checkout, users, items)
    args = SimpleNamespace(**ARGUMENTS, multi_num=rounds, pre_model="")
    learner, took = authors.meta_train(args, periods, users, items, WIDTH), {}
    for name in ("SML", "SML-S"):
        periods.frozen = name == "SML-S"
        began = time.perf_counter()
        learner.train_one_stage3(args, 0)
        took[name] = round(time.perf_counter() - began, 2)
    return {**took, "step of full retrain": round(retrain_step(learner.MFbase, users, items), 4)}


def retrain_step(model: torch.nn.Module, users: int, items: int) -> float:
    """Seconds of a step: cross-entropy of a batch and as many negatives, L2 on what occurs, dense Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    draw = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    for _ in range(STEPS):
        user, item, other = (torch.randint(size, (BATCH,), generator=draw) for size in (users, items, items))
        optimizer.zero_grad()
        u, i, score = model(user, item)
        _, j, against = model(user, other)
        entropy = torch.log(torch.sigmoid(score) + 1e-15).mean() + torch.log(1 - torch.sigmoid(against) + 1e-15).mean()
        (0.5e-7 * ((u**2).sum() + (i**2).sum() + (j**2).sum()) - entropy).backward()
        optimizer.step()
    return (time.perf_counter() - began) / STEPS


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        found = main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    print(json.dumps(found))
