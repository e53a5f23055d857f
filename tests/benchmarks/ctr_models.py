"""Click models: rows a second of training and AUC of held-out rows, each against FuxiCTR's own class in the same run.

39 fields with 1,000,000 ids, d = 10, layers 400 x 3, batch 4096: the world of `deepfm_train`. Both sides see the same
rows, turn by turn; ours through `fit` with its state carried on, FuxiCTR as its own `fit` trains, its loader with one worker
beside it (`without its loader`: what it would be if it never waited for it). Ours learns by row-wise Adagrad at 0.01, the best of
its seven rates for DCN and DeepFM on rows before the held-out ones (Adam at 0.005 learns 0.0005 to 0.002 AUC more there and takes
a seventh longer; AFN+ needs it); FuxiCTR as its leaderboard does. Our layers multiply in bfloat16 where the
processor has instructions for it (`precision` says so), and the AUC is held to FuxiCTR's all the same. `bound` says how many
rows a second a processor would train if nothing but the matrix products of the layers cost anything, forward and backward.

FuxiCTR is not among our requirements: its wheel has no click models and wants ray. It runs in an environment of its own:

    git clone https://github.com/reczoo/FuxiCTR && python -m venv fuxi && fuxi/bin/pip install torch fuxictr
    FUXICTR=FuxiCTR FUXICTR_PYTHON=fuxi/bin/python make bench ONLY=ctr-deepfm

Without it our rows a second are still measured, and nothing is claimed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.models import build
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.deepfm_train import BATCH, world
from tests.benchmarks.processor import fast_bfloat16

TURNS, BATCHES, HELD_OUT = 3, 24, 50_000
PRECISION = "bfloat16" if fast_bfloat16() else "float32"  # of our layers: what the processor is made for
SCHEDULE = TrainConfig(epochs=1, batch_size=BATCH, lr=0.01, dense_lr=0.001, precision=PRECISION)
# What is small has no slope in AFN+ until rows have grown.
OWN = {"AFNPlus": replace(SCHEDULE, optimizer="adam", lr=0.005)}
TARGETS = {"DeepFM": 5.0, "DCN": 5.0}  # others 3
LAYERS = (400, 400, 400, 1)
PAIRS = 39 * 38 // 2
PRODUCTS: dict[str, list[tuple[int, int, int]]] = {  # matrix products of a row's forward pass: rows, in, out
    "LR": [],
    "FM": [],
    "DeepFM": [(1, a, b) for a, b in pairwise((390, *LAYERS))],
    "NFM": [(1, a, b) for a, b in pairwise((10, *LAYERS))],
    "IPNN": [(1, a, b) for a, b in pairwise((390 + PAIRS, *LAYERS))],
    "WideDeep": [(1, a, b) for a, b in pairwise((390, *LAYERS))],
    "DCN": [(1, a, b) for a, b in pairwise((390, *LAYERS))],
    "DCNv2": [(1, a, b) for a, b in (*pairwise((390, *LAYERS)), *[(390, 390)] * 3)],
    "xDeepFM": [*[(1, a, b) for a, b in pairwise((390, *LAYERS))], (10, 39, 39 * 16), *[(10, 16, 39 * 16)] * 2],
    "FmFM": [(1, 390, 390)],
    "AFNPlus": [*[(1, a, b) for size in (390, 2000) for a, b in pairwise((size, *LAYERS))], (10, 39, 200)],
    "FinalMLP": [(1, a, b) for a, b in (*pairwise((390, *LAYERS[:3])), *pairwise((390, *LAYERS[:3])), (400, 400))],
}


class Peer:
    """FuxiCTR in its process, on the rows of a file."""

    def __init__(self, process: subprocess.Popen[str], rows: Path) -> None:
        self.process, self.rows = process, rows

    def ask(self, order: str) -> dict[str, float]:
        """Its answer to one order of `ctr_peer`."""
        assert self.process.stdin and self.process.stdout
        if order:
            print(order, file=self.process.stdin, flush=True)
        said = self.process.stdout.readline()
        while said and not said.startswith("{"):
            said = self.process.stdout.readline()
        if not said:
            raise RuntimeError("FuxiCTR ended before it answered; its words are above")
        return json.loads(said)

    def predicted(self) -> Tensor:
        """Probabilities of the held-out rows."""
        self.ask("predict")
        return torch.from_numpy(np.load(f"{self.rows}.predicted.npy"))


@contextmanager
def peer(name: str, logs: Logs, trained: int) -> Iterator[Peer | None]:
    """FuxiCTR's `name` on these rows; None where the machine has none."""
    checkout = os.environ.get("FUXICTR")
    if not checkout:
        yield None
        return
    python = os.environ.get("FUXICTR_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        np.savez(rows, ids=logs.rows.numpy(), label=logs.label.numpy(), sizes=np.array(logs.sizes), trained=trained)
        script = str(Path(__file__).with_name("ctr_peer.py"))
        command = [python, script, str(Path(checkout).resolve()), name, str(rows)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            found = Peer(process, rows)
            found.ask("")
            yield found
            process.kill()


def bound(name: str) -> float | None:
    """Rows a second of a processor if a step were its matrix products alone: forward, and both slopes of each."""
    seconds = 0.0
    for times, into, out in PRODUCTS[name]:
        kind = getattr(torch, PRECISION)
        values, weight = torch.rand(BATCH * times, into).to(kind), torch.rand(into, out).to(kind)
        slope, spent = values @ weight, []
        for _ in range(3):
            began = time.process_time()
            values @ weight, slope @ weight.T, values.T @ slope
            spent.append(time.process_time() - began)
        seconds += min(spent)
    return BATCH / seconds if seconds else None


# By side: seconds of every turn, by the clock (wall) and of processors; of waiting.
Turns = dict[str, list[dict[str, float]]]


def turns(name: str, logs: Logs, other: Peer | None) -> tuple[Turns, Weights]:
    """What the turns of both sides took, and what ours learned."""
    model = build(name, {}, logs.fields, 0)
    weights, state = initial_weights(model, logs), None
    seconds: Turns = {"ours": [], "FuxiCTR": []}
    for turn in range(TURNS):
        part = logs.select(torch.arange(turn * BATCHES * BATCH, (turn + 1) * BATCHES * BATCH))
        began, worked = time.perf_counter(), time.process_time()
        fitted = fit(model, weights, part, OWN.get(name, SCHEDULE), state=state)
        seconds["ours"].append({"wall": time.perf_counter() - began, "processor": time.process_time() - worked})
        weights, state = fitted.weights, fitted.optimizer
        if other:
            seconds["FuxiCTR"].append(other.ask(f"train {turn * BATCHES} {(turn + 1) * BATCHES}"))
    return seconds, weights


def rates(seconds: Turns, of: str) -> dict[str, float]:
    """Rows a second of both sides, the median of the turns."""
    rows = BATCHES * BATCH
    return {side: rows / statistics.median(t[of] for t in spent) for side, spent in seconds.items() if spent}


def run(name: str) -> dict[str, object]:
    """The ratio of rows a second, the AUC of both and how near ours is to what the products allow."""
    trained = TURNS * BATCHES * BATCH
    whole = world(trained + HELD_OUT)
    held_out = whole.select(torch.arange(trained, trained + HELD_OUT))
    with peer(name, whole, trained) as other:
        seconds, weights = turns(name, whole, other)
        aucs = {"ours": predict(build(name, {}, whole.fields, 0), weights, held_out).sigmoid()}
        if other:
            aucs["FuxiCTR"] = other.predicted()
    found = {side: float(auc(held_out.label, values)) for side, values in aucs.items()}
    worked = rates(seconds, "processor")
    if other:
        seconds["without its loader"] = [{"wall": t["wall"] - t["waiting"]} for t in seconds["FuxiCTR"]]
    rows = rates(seconds, "wall")
    ratio, apart = (rows["ours"] / rows["FuxiCTR"], found["ours"] - found["FuxiCTR"]) if other else (None, None)
    target = TARGETS.get(name, 3.0)
    return {
        "name": f"ctr-{name.lower()}",
        "value": ratio,
        "unit": "x FuxiCTR's rows a second",
        "target": f"at least {target:g}, AUC no more than 0.001 below",
        "met": ratio is not None and apart is not None and ratio >= target and apart >= -0.001,
        "detail": {
            "rows a second": rows, "rows a second of a processor": worked, "bound": bound(name), "auc": found,
            "threads": torch.get_num_threads(), "precision": PRECISION,
            "note": "" if other else "no FuxiCTR here: see this module's docstring",
        },
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1]), indent=2))
