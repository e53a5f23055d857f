"""AverageWeights: the learner's chain is its own, rows join when they are born, the choice is made before learning."""

from dataclasses import dataclass

import pytest
import torch

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, unpack
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.strategy import models_of
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.training.weight_average import Snapshot, average_weights
from tests.strategies.low_items import low_items

MODEL = MF(width=3, biases=True)
LEARNER = FineTune(TrainConfig(epochs=2, batch_size=16))


@dataclass(frozen=True)
class Says:
    """A learner whose item biases are the value of the period; all else is nought."""

    values: tuple[float, ...]
    lookback: int = 1

    def start(self, model, weights, logs):
        tables = {
            name: torch.zeros(size, model.width)
            for name, size in zip(("table.user", "table.item"), logs.sizes, strict=True)
        }
        tables["table.item"][:, -1] = self.values[logs.period]
        return Checkpoint(logs.period, tables)

    def update(self, model, checkpoint, logs):
        return self.start(model, {}, logs)


@dataclass(frozen=True)
class Ranks(Says):
    """The item biases are minus the value of the period times the item's row."""

    def start(self, model, weights, logs):
        said = Says(self.values).start(model, weights, logs)
        said.weights["table.item"][:, -1] *= -torch.arange(logs.sizes[1])
        return said


def biases(chain):
    """Of item 0, which is known from the first period on."""
    return [float(checkpoint.weights["table.item"][0, -1]) for checkpoint in chain]


@pytest.mark.parametrize("averager", [{"coefficients": (0.6,)}, {"method": "last", "counts": (3,)}, {}])
def test_the_learners_chain_is_untouched(averager):
    periods = simulated_periods("ranking")
    plain, averaged = run_chain(MODEL, LEARNER, periods), run_chain(MODEL, AverageWeights(LEARNER, **averager), periods)
    for alone, wrapped in zip(plain, averaged, strict=True):
        inner = unpack("pool/0/weights", wrapped.memory)
        assert all(torch.equal(inner[name], alone.weights[name]) for name in alone.weights)
        kept = unpack("learner", wrapped.memory)
        assert kept.keys() == alone.memory.keys()
        assert all(torch.equal(kept[name], alone.memory[name]) for name in kept)


@pytest.mark.parametrize("averager", [{"coefficients": (0.0,)}, {"method": "last", "counts": (1,)}])
def test_no_share_of_the_past_is_the_learner(averager):
    periods = simulated_periods("ranking")
    plain, averaged = run_chain(MODEL, LEARNER, periods), run_chain(MODEL, AverageWeights(LEARNER, **averager), periods)
    for alone, wrapped in zip(plain, averaged, strict=True):
        assert all(torch.equal(wrapped.weights[name], alone.weights[name]) for name in alone.weights)


def test_ema_by_hand():
    periods = simulated_periods("ranking", count=4)
    chain = run_chain(MODEL, AverageWeights(Says((1.0, 2.0, 4.0, 8.0)), coefficients=(0.5,)), periods)
    assert biases(chain) == pytest.approx([1, 1.5, 2.75, 5.375])


def test_mean_of_the_last_by_hand():
    periods = simulated_periods("ranking", count=4)
    chain = run_chain(MODEL, AverageWeights(Says((1.0, 2.0, 4.0, 8.0)), method="last", counts=(3,)), periods)
    assert biases(chain) == pytest.approx([1, 1.5, 7 / 3, 14 / 3])


@pytest.mark.parametrize("averager", [{"coefficients": (0.9,)}, {"method": "last", "counts": (5,)}])
def test_a_new_id_is_averaged_from_its_birth_on(averager):
    periods = simulated_periods("ranking", count=4)
    averaged = run_chain(MODEL, AverageWeights(LEARNER, **averager), periods)
    plain = run_chain(MODEL, LEARNER, periods)
    for t in range(1, 4):
        new = periods[t].born[1] == t
        assert new.any()
        got, alone = (c[t].weights["table.item"] for c in (averaged, plain))
        assert torch.allclose(got[new], alone[new]) and not torch.allclose(got[~new], alone[~new])


def test_the_choice_is_what_would_have_served_the_closed_period_best():
    periods = low_items(4)  # the learner ranks what is taken last every second period; half of each ranks it first
    swings = AverageWeights(Ranks((2.0, -1.0, 2.0, -1.0)), coefficients=(0.0, 0.5))
    chain = run_chain(MODEL, swings, periods)
    assert [int(c.memory["choice"]) for c in chain] == [0, 0, 1, 0]
    steady = AverageWeights(Ranks((4.0, 2.0, 1.0, 0.0)), coefficients=(0.0, 0.5))
    assert [int(c.memory["choice"]) for c in run_chain(MODEL, steady, periods)] == [0, 0, 0, 0]


def test_an_empty_period_leaves_the_choice():
    periods = low_items(4)
    empty = [p.select(p.periods != 3) for p in periods]
    swings = AverageWeights(Ranks((2.0, -1.0, 2.0, -1.0)), coefficients=(0.0, 0.5))
    assert int(run_chain(MODEL, swings, empty)[-1].memory["choice"]) == 1


def test_lookback_and_models_are_the_learners():
    assert AverageWeights(Says((1.0,), lookback=7)).lookback == 7
    assert models_of(AverageWeights(LEARNER)) is None


def test_blend_refuses_a_newest_that_does_not_count():
    logs = simulated_periods("ranking")[0]
    with pytest.raises(ValueError, match="above 0"):
        average_weights([Snapshot({}, 0), Snapshot({}, 0)], (0.0, 1.0), logs)
