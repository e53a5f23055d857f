"""Real logs: the MovieTweetings protocol, every strategy and control on the same rows; prints the README's table.

Ratings are positives, ordered by (ts, user_id, item_id), in 20 periods of 7,084 rows: 0-5 pre-train, 6-12 run, 13-14 tune,
15-19 test. A checkpoint of period t is ranked on t+1 before anyone learns from it: 999 negatives a row, uniform over
items seen so far that the user has not taken. Means over all test rows; seconds are those of learning one period.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.metrics.table import per_interaction
from tasks.models.checkpoint import Checkpoint, Weights
from tasks.models.mf import MF
from tasks.models.model import Model
from tasks.models.rank import Ranker, from_weights, rank
from tasks.models.schedule import Schedule
from tasks.plan.plan import Ranking
from tasks.strategies.als import ALS
from tasks.strategies.average_weights import AverageWeights
from tasks.strategies.bpr import BPR
from tasks.strategies.fine_tune import FineTune
from tasks.strategies.fold import fold, pretrain
from tasks.strategies.full_retrain import FullRetrain
from tasks.strategies.no_update import NoUpdate
from tasks.strategies.popularity import Popularity
from tasks.strategies.practice import coded, until
from tasks.strategies.strategy import Strategy

ROWS, PERIODS, HISTORY = 7084, 20, 6
TUNE, TEST = range(13, 15), range(15, 20)
METRICS = ("recall@5", "recall@10", "recall@20", "ndcg@5", "ndcg@10", "ndcg@20")
DATA = Path(os.environ.get("NIGHTLOOP_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Row:
    """A line of the table: how one strategy did on the test periods."""

    strategy: str
    metrics: dict[str, float]
    seconds: float  # of learning one test period, the mean


def read(path: Path = DATA / "movietweetings.parquet", seed: int = 0) -> Logs:
    """All 20 periods. Raises FileNotFoundError where the data are absent."""
    table = pq.read_table(path).sort_by([("ts", "ascending"), ("user_id", "ascending"), ("item_id", "ascending")])
    table = table.slice(0, ROWS * PERIODS)
    periods = torch.arange(PERIODS, dtype=torch.int32).repeat_interleave(ROWS)
    ids = [torch.tensor(table[name].to_numpy()) for name in ("user_id", "item_id")]
    codes, born = zip(*(coded(column, periods) for column in ids), strict=True)
    return Logs(
        period=PERIODS - 1, periods=periods, fields=("user", "item"), rows=torch.stack(codes, 1), born=tuple(born),
        numeric=torch.zeros(len(table), 0), label=torch.ones(len(table)), sizes=tuple(len(b) for b in born),
        time=torch.tensor(table["ts"].to_numpy().astype("datetime64[us]").astype("int64")), seed=seed,
    )  # fmt: skip


def chain(model: Model, strategy: Strategy, weights: Weights, whole: Logs, last: int) -> Iterator[tuple[Checkpoint, float]]:
    """The checkpoints at the close of the root and of every later period before `last`, with the seconds each took."""
    logs = until(whole, HISTORY - 1)
    checkpoint = strategy.start(model, weights, logs)
    yield checkpoint, 0.0
    for period in range(HISTORY, last):
        logs = until(whole, period)
        began = time.perf_counter()
        checkpoint = fold(model, strategy, checkpoint, logs)
        yield checkpoint, time.perf_counter() - began


def scored(ranker: Ranker, whole: Logs, period: int) -> dict[str, Tensor]:
    """Where every row of the period stands among 999 negatives, in each metric."""
    logs = until(whole, period)
    taken = logs.rows[logs.periods < period]
    found = rank(ranker, logs.since(period), taken, Ranking())
    return {metric: per_interaction(found, metric) for metric in METRICS}


def measure(name: str, model: MF, strategy: Strategy, weights: Weights, whole: Logs, periods: Sequence[int] = TEST) -> Row:
    """Run the chain, ranking the checkpoint of t-1 on t for every t of `periods`."""
    results, seconds = [], []
    for checkpoint, took in chain(model, strategy, weights, whole, periods[-1]):
        if checkpoint.period + 1 in periods:
            results.append(scored(from_weights(model.factors, checkpoint.weights), whole, checkpoint.period + 1))
            seconds.append(took)
    return row(name, results, seconds)


def row(name: str, results: Sequence[dict[str, Tensor]], seconds: Sequence[float]) -> Row:
    """Means over all rows of all periods."""
    means = {metric: float(torch.cat([r[metric] for r in results]).mean()) for metric in METRICS}
    return Row(name, means, sum(seconds) / max(len(seconds), 1))


def tuned(strategies: Sequence[Strategy], model: MF, weights: Weights, whole: Logs) -> Strategy:
    """The strategy with the best Recall@20 on the two periods for tuning."""
    return max(strategies, key=lambda s: measure("", model, s, weights, whole, TUNE).metrics["recall@20"])
