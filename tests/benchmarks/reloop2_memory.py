"""ReLoop2's memory: what reading and writing it add to a batch score of DeepFM, its size, and one request's time.

The batch is that of the benchmark `deepfm-train`: 39 fields with 1,000,000 ids, layers 400 x 3, 4096 rows. Its times are
processor time of the one thread. The memory is then given ten million rows. The request is 100 candidates of one user,
asked of a predictor with recalibration, counters and ReLoop2, while labels come back; its time is that of the clock.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import torch

from nightloop.tasks.correction.corrector import ScoredRows, Shape
from nightloop.tasks.correctors.reloop2 import ReLoop2
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.modules.checkpoint import to_bytes
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.training.hidden_features import logits_and_hidden
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.click_store import CONTEXT, plan, store
from tests.benchmarks.deepfm_train import world

BATCH, ROUNDS, OBSERVED, REQUESTS = 4096, 40, 10_000_000, 3000
SHARE, SLOWEST = 0.10, 10.0  # targets: of the batch score; milliseconds


def overhead() -> tuple[float, dict[str, float]]:
    """Share of reading and writing in the time of a batch score, by medians of rounds in turn; microseconds a row."""
    logs = world(BATCH)
    model, corrector = DeepFM(logs.fields), ReLoop2()
    weights = initial_weights(model, logs)
    hidden = logits_and_hidden(model, weights, logs)[1]
    state = corrector.start(Shape(hidden.shape[1], 1, 1))
    scored = ScoredRows(logs.rows, hidden, torch.full((BATCH,), 0.3))
    times: dict[str, list[float]] = {"score": [], "read": [], "write": []}
    for _ in range(ROUNDS):
        begin = time.thread_time()
        predict(model, weights, logs)
        after_score = time.thread_time()
        _, note = corrector.correct(state, scored)
        after_read = time.thread_time()
        corrector.observe(state, note, logs.label)
        after_write = time.thread_time()
        for name, spent in zip(
            times, (after_score - begin, after_read - after_score, after_write - after_read), strict=True
        ):
            times[name].append(spent * 1e6 / BATCH)
    a_row = {name: sorted(found)[ROUNDS // 2] for name, found in times.items()}
    return (a_row["read"] + a_row["write"]) / a_row["score"], a_row


def ten_million() -> dict[str, float]:
    """Bytes of the state and peak memory of the process before and after ten million rows."""
    corrector, generator = ReLoop2(), torch.Generator().manual_seed(0)
    state = corrector.start(Shape(128, 1, 1))
    pool = torch.randn(20_000, 128, generator=generator).relu()
    label = (torch.rand(20_000, generator=generator) < 0.2).float()
    scored = ScoredRows(torch.zeros(20_000, 2).long(), pool, torch.full((20_000,), 0.2))
    found = {}
    for rounds in range(OBSERVED // len(pool)):
        if rounds in (20, OBSERVED // len(pool) - 1):
            found[f"state after {rounds}"] = float(len(to_bytes(state)))
            found[f"peak after {rounds}"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
        corrector.observe(state, corrector.correct(state, scored)[1], label)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise RuntimeError("the memory holds what is no number")
    sizes = list(found.values())
    return {"state": sizes[0], "state grew": sizes[2] - sizes[0], "process grew": sizes[3] - sizes[1]}


def requests() -> tuple[float, float]:
    """Milliseconds of a request of 100 candidates: median and 99th percentile."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor.open(store(Path(folder), plan()), "bench")
        for n in range(REQUESTS + 100):
            items = [f"item-{(n * 31 + j * 7) % 5000}" for j in range(100)]
            begin = time.perf_counter()
            predictor.score([f"user-{n}"] * 100, items, CONTEXT, request=str(n))
            times.append((time.perf_counter() - begin) * 1e3)
            predictor.observe([(str(n), [j % 5 == 0 for j in range(100)])])
    times = sorted(times[100:])
    return times[len(times) // 2], times[int(len(times) * 0.99)]


def run() -> dict[str, object]:
    """The share, and the two other promises in the detail."""
    torch.set_num_threads(1)
    share, a_row = overhead()
    memory, (median, slow) = ten_million(), requests()
    constant = memory["state grew"] == 0 and memory["process grew"] < 20e6
    return {
        "name": "reloop2-memory", "value": round(share, 4), "unit": "of a DeepFM batch score for reading and writing",
        "target": f"at most {SHARE}; constant over {OBSERVED:,} rows; 100 candidates below {SLOWEST:.0f} ms at p99",
        "met": share <= SHARE and constant and slow < SLOWEST,
        "detail": {"microseconds a row": a_row, "bytes": memory, "ms of 100 candidates": {"median": median, "p99": slow}},
    }  # fmt: skip


if __name__ == "__main__":
    print(run())
