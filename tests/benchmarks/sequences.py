"""Sequences: GRU4Rec and Caser under fine-tuning on MovieTweetings, by nightly histories and by those up to each row.

`python -m tests.benchmarks.sequences` prints the table. The protocol and the rows are those of `real_logs`, whose
fine-tuned MF and popularity they stand beside. A night serves a user by what was taken last at its close; the second
line of a model is ranked by the histories that a service could pass it, until the very row. Settings are the best of
four of GRU4Rec on periods 13 and 14, and the only one of Caser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from nightloop.tasks.data.histories import with_histories
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import sample_candidates
from nightloop.tasks.evaluation.rank import from_weights, mean_user, rank
from nightloop.tasks.evaluation.summary import per_interaction
from nightloop.tasks.models.caser import Caser
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.advance import pretrain
from nightloop.tasks.retraining.contract_data import logs_until
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from tests.benchmarks.real_logs import HISTORY, METRICS, TEST, Row, chain, read, row, table

LENGTH = 5
NIGHTLY = TrainConfig(epochs=5, batch_size=1024, lr=0.05, dense_lr=0.001, l2=0.03)
MODELS = {"GRU4Rec": GRU4Rec(LENGTH, width=32), "Caser": Caser(LENGTH, width=16)}


def measured(name: str, whole: Logs) -> Iterator[Row]:
    """A model's two lines."""
    model = MODELS[name]
    root = FullRetrain(replace(NIGHTLY, epochs=3), begin="scratch")
    weights = pretrain(model, root, logs_until(whole, HISTORY - 1))
    nightly, fresh, seconds = [], [], []
    for checkpoint, took in chain(model, FineTune(NIGHTLY), weights, whole, TEST[-1]):
        if checkpoint.period + 1 in TEST:
            logs = logs_until(whole, checkpoint.period + 1)
            newest = logs.since(logs.period)
            dealt = sample_candidates(newest, logs.rows[logs.periods < logs.period], Ranking())
            nightly.append(_metrics(rank(from_weights(model.factors, checkpoint.weights), dealt)))
            of_rows = from_weights(model.factors, _a_user_a_row(checkpoint.weights, newest))
            fresh.append(_metrics(rank(of_rows, replace(dealt, logs=_rows_as_users(newest)))))
            seconds.append(took)
    yield row(f"FineTune, {name}", nightly, seconds)
    yield row(f"FineTune, {name}, histories up to the row", fresh, seconds)


def _a_user_a_row(weights: Weights, logs: Logs) -> dict[str, Tensor]:
    """Weights in which user n is the user of row n of the logs, unseen ones the mean user, with the history before it."""
    found = {**weights, "kept/latest/table.user": logs.history + 1}
    if "table.user" in weights:
        known = weights["table.user"]
        found["table.user"] = torch.cat([known, mean_user(known)])[logs.rows[:, 0].clamp(max=len(known))]
    return found


def _rows_as_users(logs: Logs) -> Logs:
    n = len(logs)
    rows = torch.stack([torch.arange(n), logs.rows[:, 1]], 1)
    return replace(logs, rows=rows, born=(torch.zeros(n, dtype=torch.int32), logs.born[1]))


def _metrics(ranked: dict[str, Tensor]) -> dict[str, Tensor]:
    return {metric: torch.from_numpy(per_interaction(ranked, metric)) for metric in METRICS}


if __name__ == "__main__":
    torch.set_num_threads(1)
    everything = with_histories(read(), LENGTH)
    print(table([line for name in sys.argv[1:] or MODELS for line in measured(name, everything)]))
