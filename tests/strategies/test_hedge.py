"""Hedge: weights by hand, candidates that go on by themselves, and a choice made before anyone learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.evaluation.candidates import sample_candidates
from nightloop.tasks.evaluation.rank import from_weights
from nightloop.tasks.evaluation.score_period import scored_period
from nightloop.tasks.evaluation.summary import summarize_metrics
from nightloop.tasks.models.fm import FM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, unpack
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.prequential_loss import make_judge, mean_logloss, night_candidates, weights_at_close
from nightloop.tasks.retraining.strategy import ALL_HISTORY, lookback_of
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.item_knn import ItemKNN
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow
from tests.strategies.low_items import low_items

MODEL = MF(width=3, biases=True)
FINE = FineTune(TrainConfig(epochs=2, batch_size=16), optimizer="keep")
FULL = FullRetrain(TrainConfig(epochs=2, batch_size=16), window=2)


@dataclass(frozen=True)
class Says:
    """A learner that ranks the first items first if the period's value is 0, and last if it is above 1.

    The bias of item 0 is the value.
    """

    values: tuple[float, ...]
    lookback: int = 1
    models: tuple[str, ...] | None = None

    def start(self, model, weights, logs):
        tables = [torch.zeros(size, model.width) for size in logs.sizes]
        value = self.values[logs.period]
        tables[1][:, -1] = value + (value - 1) * torch.arange(logs.sizes[1])
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
    periods = low_items(4)
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
    periods = low_items(9)
    early, late = Says((0.0,) * 5 + (3.0,) * 4), Says((3.0,) * 5 + (0.0,) * 4)
    lasting, shared = (served(run_chain(MODEL, Hedge((early, late), 5.0, 1.0, s), periods)) for s in (0.0, 0.1))
    assert lasting[-3:-2] == [3.0], "without a share the past must be made good first"
    assert shared[-2:] == [0.0, 0.0] and shared.count(0.0) > lasting.count(0.0)


def test_lookback_and_models() -> None:
    assert Hedge((FINE, FULL)).lookback == 2 and Hedge((FINE, FULL)).models is None
    assert Hedge((Says((1.0,), models=("MF", "X")), FINE, Says((1.0,), models=("MF",)))).models == ("MF",)
    with pytest.raises(ValueError, match="no model that all"):
        Hedge((Says((1.0,), models=("MF",)), Says((1.0,), models=("X",))))


def test_a_ranking_is_judged_as_the_score_step_judges_it() -> None:
    """The same candidates, the same metric, and ids that are new in the period are unknown."""
    before, logs = simulated_periods("ranking")[3:]
    weights = run_chain(MODEL, FINE, simulated_periods("ranking")[:4])[-1].weights
    asked = Ranking(negatives=7, k=(3,))
    newest = logs.since(4)
    scored = scored_period(MODEL, weights, newest, sample_candidates(newest, before.rows, asked))
    grown = grow(MODEL, Checkpoint(3, weights), logs).weights
    for metric in ("ndcg@3", "recall@3"):
        judge = make_judge(MODEL, replace(logs, ranking=asked, metric=metric), 3)
        assert judge(grown) == pytest.approx(1 - summarize_metrics(scored, "ranking", [3])[metric])
    assert {n: len(t) for n, t in weights_at_close(grown, logs, 3).items()} == {n: len(t) for n, t in weights.items()}
    whole = replace(logs, ranking=Ranking(catalogue=True))
    assert night_candidates(whole).catalogue is None, "what the metric does not read is not ranked"
    assert night_candidates(replace(whole, metric="catalogue_ndcg@5")).catalogue is not None


def test_scores_of_another_scale_are_not_taken_for_worse() -> None:
    """A ranking by popularity is better than one at random, though its cross-entropy is much larger."""
    periods = simulated_periods("ranking", count=4)
    chain = run_chain(MODEL, Hedge((NoUpdate(), Popularity())), periods)
    logs = periods[2]
    random, popular = (unpack(f"candidates/{place}/weights", chain[1].memory) for place in range(2))
    newest, nobody = logs.since(2), torch.randint(logs.sizes[1], (60,), generator=logs.generator("negatives"))
    against = replace(newest, rows=torch.stack([newest.rows[:, 0], nobody], 1), label=torch.zeros(60))
    losses = [mean_logloss(MODEL, w, newest) + mean_logloss(MODEL, w, against) for w in (random, popular)]
    assert losses[0] < losses[1], "the criterion of before would serve the worse"
    for now in chain[1:]:
        expected = unpack("candidates/1/weights", now.memory)
        assert all(torch.equal(now.weights[name], expected[name]) for name in expected)


def test_of_a_ranking_all_history_is_read() -> None:
    clicks = FM(["user", "item"], width=3)
    assert lookback_of(Hedge((FINE, FULL)), MODEL) == ALL_HISTORY and lookback_of(Hedge((FINE, FULL)), clicks) == 2
    assert (
        lookback_of(ASMG(FINE, window=2), MODEL) == 2 and lookback_of(ASMG(FINE, window=(1, 2)), MODEL) == ALL_HISTORY
    )
    assert lookback_of(ASMG(Hedge((FINE,)), window=2), MODEL) == ALL_HISTORY, "what is within reads it"
    assert lookback_of(AverageWeights(FINE, coefficients=(0.5,)), MODEL) == 1
    assert lookback_of(AddPopularity(FINE), MODEL) == ALL_HISTORY


@pytest.mark.parametrize("biases", [False, True])
def test_a_mix_is_the_mean_of_standardised_scores(biases: bool) -> None:
    """By a loop over the columns of three candidates, of which one has pair scores."""
    model, periods = MF(width=3, biases=biases), simulated_periods("ranking", rows=200)
    hedge = Hedge((FINE, Popularity(), ItemKNN()), eta=5.0, serve="mix")
    newest, logs = run_chain(model, hedge, periods)[-1], periods[-1]
    shares = newest.memory["log_weights"].exp()
    users, items = torch.arange(logs.sizes[0] + 1), torch.arange(logs.sizes[1])
    expected = torch.zeros(len(users), len(items), dtype=torch.float64)
    newest_candidates = night_candidates(logs)
    for place in range(3):
        weights = unpack(f"candidates/{place}/weights", newest.memory)
        ranker = from_weights(model.factors, weights)
        spread = []
        for block in newest_candidates.sampled:
            scores = ranker(logs.since(4).rows[block.rows, 0], block.pool)
            allowed = torch.arange(len(block.pool)) < block.cut[:, None]
            allowed[block.row, block.place] = False
            spread += [row[mask].double().var(correction=0) for row, mask in zip(scores, allowed, strict=True)]
        scale = torch.stack(spread).mean().sqrt()
        assert float(newest.memory["scales"][place]) == pytest.approx(float(scale), rel=1e-4)
        expected += shares[place] / scale * (ranker(users, items) - ranker(users, torch.tensor([999])))
    served = from_weights(model.factors, newest.weights)(users, items).double()
    assert torch.allclose(served, expected, atol=1e-3)
    assert not torch.allclose(shares, torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.05)


def test_a_mix_of_an_empty_period_keeps_its_scales_and_what_cannot_be_mixed_is_refused() -> None:
    periods = simulated_periods("ranking", count=4)
    empty = [logs.select(logs.periods != 2) for logs in periods]
    chain = run_chain(MODEL, Hedge((FINE, Popularity()), serve="mix"), empty)
    assert torch.equal(chain[2].memory["scales"], chain[1].memory["scales"])
    assert Hedge((FINE, FULL), serve="mix").models == ("MF",) and Hedge((FINE, FULL), serve="mix").families == (
        "ranking",
    )
    with pytest.raises(ValueError, match="scores can be mixed with MF alone"):
        Hedge((FINE, Says((1.0,), models=("LightGCN",))), serve="mix")
    with pytest.raises(ValueError, match="serve: given 'both'; allowed are 'pick' and 'mix'"):
        Hedge((FINE,), serve="both")  # type: ignore[arg-type]
