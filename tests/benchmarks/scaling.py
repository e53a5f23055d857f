"""Benchmark `scaling`: CPU seconds of a period of every strategy against 1, 3 and 10 times the rows, 1 and 10 times the users.

Everything is learned with one epoch, since more of them multiply what is measured. Rows are those of the period and of
each of the ten before it; users and items follow Zipf's law. Worse than linear is more than LINEAR times the growth: looking
up whether a user took an item is a search in all that was taken, n log n in all, and large tables leave the cache.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.models import build
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_data import logs_until
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.strategies.als import ALS
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.bpr import BPR
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.incctr import IncCTR
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.l2sp import L2SP
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.strategies.reloop import ReLoop
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.worlds import picture

ROWS, USERS, ITEMS, HISTORY = 2_000, 2_000, 1_000, 10
TIMES = ((1, 1), (3, 1), (10, 1), (1, 10))  # of the rows, of the users
LINEAR = 1.5
ONCE = TrainConfig(epochs=1, batch_size=256)
FINE = FineTune(ONCE)
RANKING: dict[str, Strategy] = {
    "popularity": Popularity(), "ALS": ALS(), "BPR": BPR(), "fine-tune": FINE, "full retrain": FullRetrain(ONCE),
    "SPMF": SPMF(2_000, training=ONCE), "L2SP": L2SP(training=ONCE), "EWC": EWC(training=ONCE),
    "averaged": AverageWeights(FINE), "SML": SML(rounds=2), "SML-S": SML(freeze=0), "ASMG": ASMG(FINE),
    "Hedge": Hedge((FINE, L2SP(training=ONCE))),
}  # fmt: skip
CLICKS: dict[str, Strategy] = {"KD": KD(FINE), "ReLoop": ReLoop(FINE), "IncCTR": IncCTR(FINE)}


def run() -> dict[str, object]:
    """Seconds of every strategy in every size, and by how much each grew."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    for strategies, family in ((RANKING, "ranking"), (CLICKS, "ctr")):
        for rows, users in TIMES:
            logs = made(ROWS * rows, USERS * users, family)
            model: Model = MF(width=16) if family == "ranking" else build("FM", {"width": 8}, logs.fields, 0)
            for name, strategy in strategies.items():
                seconds.setdefault(name, []).append(took(model, strategy, logs))
    worse = [name for name, (one, three, ten, users) in seconds.items()
             if three > 3 * LINEAR * one or ten > 10 * LINEAR * one or users > 10 * LINEAR * one]  # fmt: skip
    drawn = picture(
        "scaling", "Nobody's time grows faster than the logs" if not worse else f"{', '.join(worse)} grow too fast",
        "of learning one period, beside its smallest size; logarithmic scale", seconds,
        [f"{rows} x rows" if users == 1 else f"{users} x users" for rows, users in TIMES], ("size of the logs", "CPU seconds"), log=True,
    )  # fmt: skip
    growth = {name: [round(s / found[0], 2) for s in found] for name, found in seconds.items()}
    slowest = max(growth, key=lambda name: growth[name][2])
    return {
        "value": growth[slowest][2], "unit": f"times the seconds at 10 times the rows ({slowest})",
        "target": f"none above {LINEAR:g} times linear", "met": not worse,
        "detail": {"worse": worse, "growth": growth, "picture": drawn,
                   "seconds": {name: [round(s, 4) for s in found] for name, found in seconds.items()}},
    }  # fmt: skip


def took(model: Model, strategy: Strategy, whole: Logs) -> float:
    """CPU seconds of the last update, after two others that open what it finishes; the better of two runs."""
    first, *others = range(whole.period - 2, whole.period + 1)
    found = []
    for _ in range(2):
        begun = logs_until(whole, first)
        checkpoint = strategy.start(model, initial_weights(model, begun), begun)
        for period in others:
            logs = logs_until(whole, period)
            began = time.process_time()
            checkpoint = fold(model, strategy, checkpoint, logs)
            last = time.process_time() - began
        found.append(last)
    return max(min(found), 1e-4)


def made(rows: int, users: int, family: str) -> Logs:
    """HISTORY + 1 periods of `rows` rows each: Zipf-Mandelbrot ids, labels of a coin for clicks."""
    generator = torch.Generator().manual_seed(rows + users)
    many = rows * (HISTORY + 1)
    ids = [_zipf(many, size, generator) for size in (users, ITEMS)]
    periods = torch.arange(HISTORY + 1, dtype=torch.int32).repeat_interleave(rows)
    label = torch.ones(many) if family == "ranking" else torch.bernoulli(torch.full((many,), 0.3), generator=generator)
    return Logs(
        period=HISTORY, periods=periods, fields=("user", "item"), rows=torch.stack(ids, 1), numeric=torch.zeros(many, 0),
        label=label, time=torch.arange(many), sizes=(users, ITEMS), seed=0,
        born=(torch.zeros(users, dtype=torch.int32), torch.zeros(ITEMS, dtype=torch.int32)),
    )  # fmt: skip


def _zipf(many: int, size: int, generator: torch.Generator) -> Tensor:
    weights = (torch.arange(size) + 20.0) ** -0.8
    return torch.multinomial(weights, many, True, generator=generator)


if __name__ == "__main__":
    print(run())
