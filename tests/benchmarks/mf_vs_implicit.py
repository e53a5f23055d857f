"""MF against `implicit`'s BPR: interactions a second in turn on the same rows, and Recall@20 after equal wall time.

Speed as in `mf_train`. Quality: movietweetings, trained on periods 0-14, ranked on 15-19; BPR takes the iterations
that did best on periods 13-14, we take as many epochs as fit in the same seconds. BPR runs in two threads, as it is
meant to.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.retraining.contract_data import logs_until
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.mf_train import EPOCHS, MODEL, ROUNDS, SCHEDULE, rate, recall, zipf_logs
from tests.benchmarks.real_logs import DATA, TEST, read

TARGET = 1.1  # of implicit's interactions a second
ITERATIONS = 60  # tried: rates 0.001, 0.003, 0.01, 0.03; penalties 0.001, 0.01; 20 and 60 iterations


def matrix(logs: Logs) -> csr_matrix:
    """Users by items, one for each row."""
    user, item = logs.rows.T.numpy()
    return csr_matrix((torch.ones(len(logs)).numpy(), (user, item)), shape=logs.sizes)


def bpr(rows: csr_matrix, iterations: int, learning_rate: float = 0.001) -> tuple[BayesianPersonalizedRanking, float]:
    """A fitted BPR and the seconds it took."""
    model = BayesianPersonalizedRanking(
        factors=64, learning_rate=learning_rate, regularization=0.001, iterations=iterations,
        num_threads=2, random_state=0,
    )  # fmt: skip
    began = time.perf_counter()
    model.fit(rows, show_progress=False)
    return model, time.perf_counter() - began


def speeds() -> dict[str, list[float]]:
    """Interactions a second of each, in turn."""
    logs = zipf_logs()
    weights, rows = initial_weights(MODEL, logs), matrix(logs)
    found: dict[str, list[float]] = {"ours": [], "implicit": []}
    for _ in range(ROUNDS):
        found["ours"].append(rate(weights, logs))
        found["implicit"].append(rows.nnz / bpr(rows, 1)[1])
    return found


def equal_time() -> dict[str, float]:
    """Recall@20 of both after the seconds that BPR takes."""
    whole = read()
    logs = logs_until(whole, TEST[0] - 1)
    weights = initial_weights(MODEL, logs)
    peer, seconds = bpr(matrix(logs), ITERATIONS)
    began = time.perf_counter()
    fit(MODEL, weights, logs, replace(SCHEDULE, epochs=EPOCHS))
    epochs = max(1, int(EPOCHS * seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    ours = fit(MODEL, weights, logs, replace(SCHEDULE, epochs=epochs)).weights
    ours_took = time.perf_counter() - began
    return {
        "ours": recall(*MODEL.factors(ours), whole),
        "implicit": recall(torch.tensor(peer.user_factors), torch.tensor(peer.item_factors), whole),
        "seconds of ours": ours_took,
        "seconds of implicit": seconds,
        "epochs of ours": epochs,
    }


def run() -> dict[str, object]:
    """Our interactions a second over implicit's, drawing and shuffling included, and whether ours rank at least as well."""
    found = speeds()
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    quality = equal_time() if (DATA / "movietweetings.parquet").exists() else {}
    ratio = medians["ours"] / medians["implicit"]
    return {
        "name": "mf-vs-implicit",
        "value": ratio,
        "unit": "x implicit's interactions a second",
        "target": "at least 1.1, at a Recall@20 that is not lower after equal wall time",
        "met": ratio >= TARGET and bool(quality) and quality["ours"] >= quality["implicit"],
        "detail": {"interactions a second": medians, "recall@20": quality, "rounds": found},
    }


if __name__ == "__main__":
    print(run())
