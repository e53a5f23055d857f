"""Benchmark `yelp-shape`: one period of each strategy at Yelp's shape, 59,082 users x 122,816 items, 75,000 rows, d = 64.

With a checkout of the authors' code (`SML_AUTHORS=SML`, see `sml_speed`) SML, SML-S and a step of full retrain are timed against it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import recent_rows
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.mf_train import SCHEDULE
from tests.benchmarks.sml_speed import LIGHT, authors, beside, sentence

USERS, ITEMS, ROWS, HISTORY = 59_082, 122_816, 75_000, 2_500_000
ROUNDS = 10
THEIRS = {"SML": 294.0, "SML-S": 21.0, "fine-tune": 390.0, "full retrain": 13_940.0}  # seconds of the authors' code
# As many steps an epoch as the light settings have where their quality is measured: 10 here, 7 of 1,024 on MovieTweetings.
SHAPED = replace(
    LIGHT,
    rounds=ROUNDS,
    learner_training=replace(LIGHT.learner_training, batch_size=8192),
    transfer_training=replace(LIGHT.transfer_training, batch_size=8192),
)
STRATEGIES: dict[str, tuple[Strategy, float]] = {  # with seconds wanted
    "SML": (SHAPED, 9.0),
    "SML-S": (replace(SHAPED, freeze=0), 1.0),
    "fine-tune": (FineTune(TrainConfig(epochs=5, batch_size=1024, lr=0.05)), 1.0),
    "full retrain": (FullRetrain(replace(SCHEDULE, epochs=20)), 60.0),  # its quality is mf-train's
}
PEAK = 3.0  # GiB, of any strategy


def run() -> dict[str, object]:
    """Each strategy in a process of its own: seconds of the second update, and peak memory, the history included."""
    found = {name: apart("yelp_shape", name) for name in STRATEGIES}
    periods = [world(period, ROWS).since(period).rows for period in (1, 2)]
    theirs = authors(periods, (USERS, ITEMS), ROUNDS)
    if theirs:  # by their settings: batches of 256, 20 epochs
        theirs["full retrain"] = theirs.pop("step of full retrain") * 20 * HISTORY / 256
    ours = {name: one["seconds"] for name, one in found.items()}
    wanted = {name: seconds for name, (_, seconds) in STRATEGIES.items()}
    compared = beside(ours, wanted, THEIRS, theirs)
    return {
        "value": ours["SML"], "unit": "s", "detail": found | compared,
        "met": all(compared["fast"].values()) and all(one["gib"] < PEAK for one in found.values()),
        "target": f"{sentence(wanted, THEIRS)}; {PEAK:g} GiB",
    }  # fmt: skip


def apart(module: str, name: str) -> dict[str, float]:
    """Seconds and GiB of one of the strategies of a benchmark, in a process of its own."""
    code = (
        f"from tests.benchmarks.yelp_shape import work; from tests.benchmarks.{module} import STRATEGIES; "
        f"one = STRATEGIES[{name!r}]; work(one[0] if isinstance(one, tuple) else one, {'full' in name})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(strategy: Strategy, whole_history: bool) -> None:
    """Print seconds and peak memory of two updates; the first opens a task that the second finishes."""
    model = MF(width=64)
    rows = HISTORY if whole_history else ROWS
    periods = [world(period, rows if period else ROWS) for period in range(3)]
    checkpoint = strategy.start(model, initial_weights(model, periods[0]), periods[0])
    took = 0.0
    for logs in periods[2 if whole_history else 1 :]:
        own = Checkpoint(logs.period - 1, checkpoint.weights, checkpoint.memory)
        began = time.perf_counter()
        checkpoint = strategy.update(model, own, recent_rows(logs, strategy.lookback))
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": round(took, 2), "gib": round(peak, 2)}))


def world(period: int, rows: int) -> Logs:
    """Zipf-Mandelbrot ids, users (r + 20)^-0.8 and items (r + 20)^-0.9; a period's logs hold the one before, too."""
    generator = torch.Generator().manual_seed(period)
    ids = [
        torch.multinomial((torch.arange(n) + 20.0) ** -power, 2 * rows, True, generator=generator)
        for n, power in ((USERS, 0.8), (ITEMS, 0.9))
    ]
    when = torch.arange(2, dtype=torch.int32).repeat_interleave(rows) + period - 1
    logs = Logs(
        period=period, periods=when, fields=("user", "item"), rows=torch.stack(ids, 1), numeric=torch.zeros(2 * rows, 0),
        label=torch.ones(2 * rows), time=torch.arange(2 * rows), sizes=(USERS, ITEMS), seed=period,
        born=(torch.zeros(USERS, dtype=torch.int32), torch.zeros(ITEMS, dtype=torch.int32)),
    )  # fmt: skip
    return logs if rows == ROWS else logs.since(period)
