"""AddPopularity: by hand on a few rows, the learner's chain its own, the share chosen before learning."""

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.evaluation.rank import from_weights
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import unpack
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.no_update import NoUpdate

MODEL = MF(width=3, biases=True)
LEARNER = FineTune(TrainConfig(epochs=2, batch_size=16))


def counted(logs, half_life):
    """log(1 + count) of every item by a loop: each row halves every half-life, rows of a period evenly spread."""
    counts = [0.0] * logs.sizes[1]
    for period in sorted(set(logs.periods.tolist())):
        rows = logs.rows[logs.periods == period]
        for place, item in enumerate(rows[:, 1].tolist()):
            age = logs.period - period + (len(rows) - 1 - place) / len(rows)
            counts[item] += 0.5 ** (age / half_life)
    return torch.log1p(torch.tensor(counts))


def test_biases_by_hand():
    periods = simulated_periods("ranking", count=4)
    plain, added = run_chain(MODEL, LEARNER, periods), run_chain(MODEL, AddPopularity(LEARNER, 0.3, (0.5,)), periods)
    for alone, served, logs in zip(plain, added, periods, strict=True):
        gained = served.weights["table.item"] - alone.weights["table.item"]
        recent = logs.since(max(0, logs.period - 3))
        assert torch.allclose(gained[:, -1], 0.5 * counted(recent, 0.3), atol=1e-4)
        assert not gained[:, :-1].any() and torch.equal(served.weights["table.user"], alone.weights["table.user"])


def test_the_learners_chain_is_untouched():
    periods = simulated_periods("ranking")
    plain, added = run_chain(MODEL, LEARNER, periods), run_chain(MODEL, AddPopularity(LEARNER), periods)
    for alone, wrapped in zip(plain, added, strict=True):
        inner = unpack("own/weights", wrapped.memory)
        assert all(torch.equal(inner[name], alone.weights[name]) for name in alone.weights)


def test_a_share_of_nought_is_the_learner():
    periods = simulated_periods("ranking")
    plain, added = run_chain(MODEL, LEARNER, periods), run_chain(MODEL, AddPopularity(LEARNER, weights=(0.0,)), periods)
    for alone, wrapped in zip(plain, added, strict=True):
        assert all(torch.equal(wrapped.weights[name], alone.weights[name]) for name in alone.weights)


def test_the_share_that_would_have_served_best_is_chosen():
    """The learner knows nothing; where one item is all that is taken a share helps, where takings turn about it hurts."""
    periods = simulated_periods("ranking", count=4)
    half = periods[-1].sizes[1] // 2

    def taken(place):  # of row n in period t
        altered = []
        for logs in periods:
            rows = logs.rows.clone()
            rows[:, 1] = torch.tensor([place(n, t) for n, t in enumerate(logs.periods.tolist())])
            sizes = (*logs.sizes[:1], periods[-1].sizes[1])
            altered.append(
                replace(logs, rows=rows, sizes=sizes, born=(logs.born[0], torch.zeros(sizes[1], dtype=torch.int32)))
            )
        return altered

    strategy = AddPopularity(NoUpdate(), half_life=0.5, weights=(0.0, 0.5))
    same = run_chain(MODEL, strategy, taken(lambda n, t: n % 2))
    turns = run_chain(MODEL, strategy, taken(lambda n, t: n % half + half * (t % 2)))
    assert [float(one.memory["share"]) for one in same] == [0, 0.5, 0.5, 0.5]
    assert [float(one.memory["share"]) for one in turns] == [0, 0, 0, 0]


def test_a_period_without_rows_keeps_the_share_and_other_shares_may_follow():
    periods = simulated_periods("ranking", count=4)
    empty = [logs.select(logs.periods != 3) for logs in periods]
    made = run_chain(MODEL, AddPopularity(NoUpdate(), weights=(0.25,)), empty[:3])[-1]
    kept = fold(MODEL, AddPopularity(NoUpdate(), weights=(0.0, 1.0)), made, empty[3])
    assert float(kept.memory["share"]) == 0.25
    assert float(fold(MODEL, AddPopularity(NoUpdate(), weights=(1.0,)), made, periods[3]).memory["share"]) == 1.0


def test_strangers_get_what_is_popular():
    periods = simulated_periods("ranking", count=3)
    served = run_chain(MODEL, AddPopularity(NoUpdate(), 1.0, (50.0,)), periods)[-1]
    items = torch.arange(periods[-1].sizes[1])
    stranger = torch.tensor([periods[-1].sizes[0] + 5])
    scores = from_weights(MODEL.factors, served.weights)(stranger, items)[0]
    assert int(scores.argmax()) == int(counted(periods[-1], 1.0).argmax())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"half_life": 0}, "half_life: given 0; it is in periods"),
        ({"weights": ()}, "weights: given ()"),
        ({"weights": (0.1, -1.0)}, "0 or more"),
        ({"weights": (float("nan"),)}, "0 or more"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    with pytest.raises(ValueError) as caught:
        AddPopularity(LEARNER, **options)
    assert said in str(caught.value)


def test_models_without_biases_and_learners_without_mf_are_refused():
    with pytest.raises(ValueError, match="this model has none; give MF the option biases: true"):
        run_chain(MF(width=3), AddPopularity(LEARNER), simulated_periods("ranking"))

    class Graphs(NoUpdate):
        models = ("LightGCN",)

    with pytest.raises(ValueError, match="Graphs does not go with MF"):
        AddPopularity(Graphs())
    assert AddPopularity(LEARNER, half_life=2.0).lookback == 21 and AddPopularity(LEARNER).models == ("MF",)
