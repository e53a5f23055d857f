"""Benchmark `gpu`: DeepFM and MF on a GPU against the CPU, by `training: {device: cuda}`. Needs a torch that finds a GPU.

python -m tests.benchmarks.gpu    # the data are those of `deepfm-train` and of `mf-train`
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks import deepfm_train, mf_train

NEAR = 0.001
BATCH = 16_384


def run() -> dict[str, object]:
    """Rows a second on both devices, and the difference of AUC."""
    if not torch.cuda.is_available():
        return {
            "value": None,
            "unit": "",
            "target": f"AUC within {NEAR}",
            "met": False,
            "detail": "torch finds no GPU here",
        }
    logs = deepfm_train.world(deepfm_train.TRAIN + deepfm_train.HELD_OUT)
    held_out, train = logs.select(slice(deepfm_train.TRAIN, None)), logs.select(slice(deepfm_train.TRAIN))
    deepfm = DeepFM(logs.fields, 0, width=10, hidden=(400, 400, 400))
    clicks = compare(deepfm, train, replace(deepfm_train.SCHEDULE, batch_size=BATCH, precision="bfloat16"),
                     lambda weights: auc(held_out.label, predict(deepfm, weights, held_out)))  # fmt: skip
    pairs, mf = mf_train.zipf_logs(), MF(width=64)
    ranking = compare(
        mf, pairs, TrainConfig(epochs=1, batch_size=BATCH, lr=0.05), lambda weights: _separation(mf, weights, pairs)
    )
    return {
        "value": clicks["ratio"], "unit": "x the rows a second of the CPU (DeepFM)", "target": f"AUC within {NEAR}",
        "met": max(clicks["difference"], ranking["difference"]) <= NEAR,
        "detail": {"device": torch.cuda.get_device_name(), "DeepFM": clicks, "MF": ranking},
    }  # fmt: skip


def compare(
    model: Model, logs: Logs, training: TrainConfig, judge: Callable[[dict[str, torch.Tensor]], float]
) -> dict[str, Any]:
    """Rows a second of one epoch and quality, on the CPU and on the GPU, from the same weights."""
    weights, found = initial_weights(model, logs), {}
    for device in ("cpu", "cuda"):
        settings = replace(training, device=device)
        fit(model, weights, logs.select(slice(4 * BATCH)), settings)  # begin the device
        began = time.perf_counter()
        trained = fit(model, weights, logs, settings).weights
        found[device] = (len(logs) / (time.perf_counter() - began), judge(trained))
    return {
        **{f"rows a second, {device}": round(speed) for device, (speed, _) in found.items()},
        "ratio": round(found["cuda"][0] / found["cpu"][0], 2), "difference": abs(found["cuda"][1] - found["cpu"][1]),
    }  # fmt: skip


def _separation(model: MF, weights: dict[str, torch.Tensor], logs: Logs) -> float:
    """AUC of taken pairs against the same users with other items."""
    some = logs.select(slice(50_000))
    other = replace(some, rows=torch.stack([some.rows[:, 0], some.rows[:, 1].roll(1)], 1))
    scores = torch.cat([predict(model, weights, one) for one in (some, other)])
    return auc(torch.cat([torch.ones(len(some)), torch.zeros(len(other))]), scores)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
