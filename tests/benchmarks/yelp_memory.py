"""Benchmark `yelp-memory`: peak memory of one period of every strategy at Yelp's shape, 59,082 users x 122,816 items."""

from __future__ import annotations

from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.l2sp import L2SP
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from tests.benchmarks.yelp_shape import PEAK, apart

ONCE = TrainConfig(epochs=1, batch_size=1024)  # memory does not depend on how often the rows come by
FINE = FineTune(ONCE)
STRATEGIES: dict[str, Strategy] = {
    "FineTune": FINE,
    "full retrain": FullRetrain(ONCE),
    "SPMF": SPMF(size=7000, training=ONCE),
    "L2SP": L2SP(training=ONCE),
    "EWC": EWC(training=ONCE),
    "AverageWeights": AverageWeights(FINE),
    "SML": SML(rounds=2),
    "ASMG": ASMG(FINE),
    "Hedge": Hedge((FINE, SPMF(size=7000, training=ONCE))),
}


def run() -> dict[str, object]:
    """Each strategy in a process of its own: peak memory after two updates, logs and libraries included."""
    found = {name: apart("yelp_memory", name)["gib"] for name in STRATEGIES}
    return {
        "value": max(found.values()), "unit": "GiB", "target": f"{PEAK:g} GiB", "met": max(found.values()) < PEAK,
        "detail": found,
    }  # fmt: skip
