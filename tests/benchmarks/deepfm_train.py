"""DeepFM training: rows a second against a loop with an `nn.Embedding` a field and dense Adam, and what bfloat16 costs.

39 fields with 1,000,000 ids, d = 10, layers 400 x 3, batch 4096, all through `fit`. The reference is how FuxiCTR trains
the same model: a table for each field and its weight, dense gradients, their norm clipped at 10 (its default), Adam over
every row at each step. Both see the same rows, in turn. AUC is that of rows nobody trained on, with labels from a planted model.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.processor import fast_bfloat16

FIELDS, IDS, BATCH = 39, 1_000_000, 4096
TRAIN, HELD_OUT, ROUNDS = 120 * BATCH, 50_000, 3
REFERENCE_ROWS = 8 * BATCH  # a round of the reference: it is slow, and every batch costs the same
SCHEDULE = TrainConfig(epochs=1, batch_size=BATCH, lr=0.05, dense_lr=0.001)


class Reference(nn.Module):
    """DeepFM as most libraries write it: two `nn.Embedding`s a field."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.vectors = nn.ModuleList(nn.Embedding(size, 10) for size in sizes)
        self.firsts = nn.ModuleList(nn.Embedding(size, 1) for size in sizes)
        for table in self.vectors:
            nn.init.normal_(table.weight, std=0.01)
        widths = (10 * len(sizes), 400, 400, 400)
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
        self.deep = nn.Sequential(*layers, nn.Linear(400, 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, columns: dict[int, Tensor]) -> Tensor:
        """Logits [n] from one id column a field."""
        e = torch.stack([table(columns[k]) for k, table in enumerate(self.vectors)], 1)
        first = torch.cat([table(columns[k]) for k, table in enumerate(self.firsts)], 1).sum(1)
        second = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        return self.bias + first + second + self.deep(e.flatten(1))[:, 0]


def world(rows: int) -> Logs:
    """Rows of 39 fields, a few large and many small, whose labels come from a planted factorisation machine."""
    g = torch.Generator().manual_seed(0)
    shares = 0.8 ** torch.arange(FIELDS)
    sizes = tuple(int(s) for s in (shares / shares.sum() * IDS).round().clamp(min=4))
    ids = torch.stack([(torch.rand(rows, generator=g) ** 4 * size).long() for size in sizes], 1)
    score, total, squares = torch.zeros(rows), torch.zeros(rows, 4), torch.zeros(rows, 4)
    for field, size in enumerate(sizes):
        vectors = 0.15 * torch.randn(size, 4, generator=g)
        score += 0.2 * torch.randn(size, generator=g)[ids[:, field]]
        total += vectors[ids[:, field]]
        squares += vectors[ids[:, field]].square()
    score += 0.5 * (total.square() - squares).sum(1) - 1.0
    fields = ("user", "item", *(f"c{k}" for k in range(FIELDS - 2)))
    return Logs(
        period=0, periods=torch.zeros(rows, dtype=torch.int32), fields=fields, rows=ids, numeric=torch.zeros(rows, 0),
        label=(torch.rand(rows, generator=g) < torch.sigmoid(score)).float(), time=torch.arange(rows), sizes=sizes,
        born=tuple(torch.zeros(size, dtype=torch.int32) for size in sizes), seed=0,
    )  # fmt: skip


def reference_rate(model: Reference, optimizer: torch.optim.Adam, logs: Logs) -> float:
    """Rows a second of a round of the reference."""
    columns = {field: logs.rows[:REFERENCE_ROWS, field].contiguous() for field in range(FIELDS)}
    began = time.perf_counter()
    for part in torch.arange(REFERENCE_ROWS).split(BATCH):
        optimizer.zero_grad()
        logits = model({field: column[part] for field, column in columns.items()})
        binary_cross_entropy_with_logits(logits, logs.label[part]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    return REFERENCE_ROWS / (time.perf_counter() - began)


def run() -> dict[str, object]:
    """The ratio of rows a second in the precision the processor is made for, and the AUC of both precisions."""
    whole = world(TRAIN + HELD_OUT)
    train, held_out = whole.select(torch.arange(TRAIN)), whole.select(torch.arange(TRAIN, TRAIN + HELD_OUT))
    model = DeepFM(whole.fields)
    weights = initial_weights(model, whole)
    reference = Reference(whole.sizes)
    optimizer = torch.optim.Adam(reference.parameters())
    reference_rate(reference, optimizer, whole)  # its moments are made in the first step
    rates: dict[str, list[float]] = {"reference": [], "float32": [], "bfloat16": []}
    aucs: dict[str, float] = {}
    for _ in range(ROUNDS):
        rates["reference"].append(reference_rate(reference, optimizer, whole))
        for precision in ("float32", "bfloat16") if fast_bfloat16() else ("float32",):
            began = time.perf_counter()
            fitted = fit(model, weights, train, replace(SCHEDULE, precision=precision))
            rates[precision].append(TRAIN / (time.perf_counter() - began))
            if precision not in aucs:
                aucs[precision] = float(auc(held_out.label, predict(model, fitted.weights, held_out).sigmoid()))
    rows = {name: statistics.median(found) for name, found in rates.items() if found}
    chosen = "bfloat16" if "bfloat16" in rows else "float32"
    ratio, apart = rows[chosen] / rows["reference"], abs(aucs[chosen] - aucs["float32"])
    return {
        "name": "deepfm-train",
        "value": ratio,
        "unit": "x the reference's rows a second",
        "target": "at least 4, AUC within 0.001 of float32",
        "met": ratio >= 4 and apart <= 0.001,
        "detail": {"rows a second": rows, "auc": aucs, "precision": chosen, "rounds": rates},
    }


if __name__ == "__main__":
    print(run())
