"""Hedge: weights by hand, candidates that go on by themselves, and a choice made before anyone learns."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, unpack
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.prequential_loss import evaluation_rows
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow

MODEL = MF(width=3, biases=True)
FINE = FineTune(TrainConfig(epochs=2, batch_size=16), optimizer="keep")
FULL = FullRetrain(TrainConfig(epochs=2, batch_size=16), window=2)


@dataclass(frozen=True)
class Says:
    """A learner whose item biases are the value of the period; all else is nought. Bias 0 has the smallest loss."""

    values: tuple[float, ...]
    lookback: int = 1
    models: tuple[str, ...] | None = None

    def start(self, model, weights, logs):
        tables = [torch.zeros(size, model.width) for size in logs.sizes]
        tables[1][:, -1] = self.values[logs.period]
        return Checkpoint(logs.period, {"table.user": tables[0], "table.item": tables[1]})

    def update(self, model, checkpoint, logs):
        return self.start(model, {}, logs)


def served(chain) -> list[float]:
    return [float(checkpoint.weights["table.item"][0, -1]) for checkpoint in chain]


def test_candidates_go_on_by_themselves() -> None:
    periods = simulated_periods("ranking")
    chain = run_chain(MODEL, Hedge((FINE, FULL)), periods)
    for place, candidate in enumerate((FINE, FULL)):
        for alone, within in zip(run_chain(MODEL, candidate, periods), chain, strict=True):
            own = unpack(f"candidates/{place}", within.memory)
            for part, given in (("weights", alone.weights), ("memory", alone.memory)):
                kept = unpack(part, own)
                assert kept.keys() == given.keys() and all(torch.equal(kept[n], given[n]) for n in given)


def test_of_one_candidate_it_is_that_candidate() -> None:
    periods = simulated_periods("ranking")
    for alone, within in zip(run_chain(MODEL, FINE, periods), run_chain(MODEL, Hedge((FINE,)), periods), strict=True):
        assert all(torch.equal(alone.weights[name], within.weights[name]) for name in alone.weights)


def test_who_served_best_is_served_next() -> None:
    periods = simulated_periods("ranking", count=4)
    good, bad = Says((0.0, 0.0, 3.0, 3.0)), Says((3.0, 3.0, 0.0, 0.0))
    assert served(run_chain(MODEL, Hedge((bad, good)), periods))[:3] == [3.0, 0.0, 3.0], (
        "judged by what served, then learned"
    )
    assert served(run_chain(MODEL, Hedge((good, good)), periods)) == [0.0, 0.0, 3.0, 3.0]


@pytest.mark.parametrize(("eta", "forget", "share"), [(1.0, 1.0, 0.0), (5.0, 0.5, 0.0), (2.0, 1.0, 0.2)])
def test_weights_by_hand(eta: float, forget: float, share: float) -> None:
    periods = simulated_periods("ctr", count=4)
    model = MF(width=3, biases=True)
    model.family = "ctr"
    chain = run_chain(model, Hedge((FINE, FULL), eta, forget, share), periods)
    weights = [0.5, 0.5]
    for before, now, logs in zip(chain, chain[1:], periods[1:], strict=False):
        newest = logs.since(logs.period)
        for place in range(2):
            own = unpack(f"candidates/{place}/weights", before.memory)
            grown = grow(model, Checkpoint(before.period, own), logs).weights
            logits = predict(model, grown, newest)
            weights[place] = weights[place] ** forget * exp(
                -eta * float(binary_cross_entropy_with_logits(logits, newest.label))
            )
        weights = [(1 - share) * w / sum(weights) + share / 2 for w in weights]
        expected = torch.tensor([log(w) for w in weights], dtype=torch.float64)
        torch.testing.assert_close(now.memory["log_weights"], expected, atol=1e-5, rtol=1e-5)


def test_equal_losses_leave_the_first_and_an_empty_period_leaves_the_weights() -> None:
    periods = simulated_periods("ranking", count=4)
    empty = [logs.select(logs.periods != 2) for logs in periods]
    chain = run_chain(MODEL, Hedge((FINE, FULL)), empty)
    assert torch.equal(chain[1].memory["log_weights"], chain[2].memory["log_weights"])
    same = run_chain(MODEL, Hedge((Says((1.0, 1.0, 1.0, 1.0)), Says((1.0, 1.0, 1.0, 1.0)))), periods)
    assert all(float(c.memory["log_weights"].diff()) == 0 for c in same)


def test_a_share_lets_a_candidate_come_back() -> None:
    periods = simulated_periods("ranking", count=9)
    early, late = Says((0.0,) * 5 + (3.0,) * 4), Says((3.0,) * 5 + (0.0,) * 4)
    lasting, shared = (served(run_chain(MODEL, Hedge((early, late), 5.0, 1.0, s), periods)) for s in (0.0, 0.1))
    assert lasting[-3:-2] == [3.0], "without a share the past must be made good first"
    assert shared[-2:] == [0.0, 0.0] and shared.count(0.0) > lasting.count(0.0)


def test_lookback_and_models() -> None:
    assert Hedge((FINE, FULL)).lookback == 2 and Hedge((FINE, FULL)).models is None
    assert Hedge((Says((1.0,), models=("MF", "X")), FINE, Says((1.0,), models=("MF",)))).models == ("MF",)
    with pytest.raises(ValueError, match="no model that all"):
        Hedge((Says((1.0,), models=("MF",)), Says((1.0,), models=("X",))))


def test_a_ranking_is_judged_with_negatives() -> None:
    logs = simulated_periods("ranking")[0]
    rows = evaluation_rows(MODEL, logs)
    assert len(rows) == 2 * len(logs) and float(rows.label.mean()) == 0.5
