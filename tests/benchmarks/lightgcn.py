"""LightGCN on real logs: the MovieTweetings protocol of `real_logs`, retrained by three strategies over both graphs.

The question behind it is what a row's own link costs in training: `links: own` is the paper's, `before` ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.models.lightgcn import LightGCN
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import pretrain
from nightloop.tasks.retraining.contract_data import logs_until
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.sml import SML
from tests.benchmarks.real_logs import DATA, HISTORY, measure, read, table

PRETRAIN = FullRetrain(TrainConfig(epochs=20, batch_size=4096, lr=0.1, l2=0.03), begin="scratch")
LARGE = FineTune(TrainConfig(epochs=10, batch_size=7084, lr=0.05, l2=0.03))  # a step of the full graph moves all rows
SMALL = FineTune(TrainConfig(epochs=20, batch_size=2048, lr=0.05, l2=0.03))
OVER = SML(SMALL, Transfer("average"), rounds=3, transfer_training=TrainConfig(epochs=1, batch_size=2048, lr=0.03))
FULL = LightGCN(width=64, biases=True)
OWN = LightGCN(width=64, biases=True, links="own")
NEWEST = LightGCN(width=64, biases=True, graph="incremental")
ROWS = (
    ("full, own links", OWN, "FineTune", LARGE),
    ("full", FULL, "FineTune", LARGE),
    ("full", FULL, "FullRetrain, 4 periods", FullRetrain(LARGE.training, window=4)),
    ("incremental", NEWEST, "FineTune", SMALL),
    ("incremental", NEWEST, "SML(FineTune), average", OVER),
)


def run(path: Path = DATA / "movietweetings.parquet", seed: int = 0) -> dict[str, object]:
    """The table. One thread, so that figures come out again."""
    torch.set_num_threads(1)
    whole, rows, first = read(path, seed), [], {}
    for graph, model, name, strategy in ROWS:
        if model.graph not in first:  # with the same links for all: rows of one graph begin alike
            begun = FULL if model is OWN else model
            first[model.graph] = pretrain(begun, PRETRAIN, logs_until(whole, HISTORY - 1))
        rows.append(measure(f"{name} ({graph})", model, strategy, first[model.graph], whole))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    own, before = (r.metrics["recall@20"] for r in rows[:2])
    return {
        "value": before - own, "unit": "Recall@20 gained by training on the links before", "met": before > own,
        "target": "above 0", "detail": "", "markdown": table(rows),
        "rows": [{"strategy": r.strategy, **r.metrics, "seconds": r.seconds} for r in rows],
    }  # fmt: skip


if __name__ == "__main__":
    print(run(*map(Path, sys.argv[1:2]))["markdown"])
