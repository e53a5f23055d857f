"""Repeat and Recency by hand, in the rankings of logs where people take an item again."""

from __future__ import annotations

from dataclasses import replace
from math import log1p

import pytest
import torch

from nightloop.tasks.evaluation.rank import from_weights
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.pair_scores import pair_scores_of
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.time_decay import decay_weights
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.recency import Recency
from nightloop.tasks.strategies.repeat import Repeat

MODEL = MF(width=3)
LOGS = simulated_periods("ranking")[-1]


def test_repeat_by_a_loop() -> None:
    decay, counts = decay_weights(LOGS, 2.0), {}
    for (user, item), weight in zip(LOGS.rows.tolist(), decay.tolist(), strict=True):
        counts[user, item] = counts.get((user, item), 0.0) + weight
    ranker = from_weights(MODEL.factors, run_chain(MODEL, Repeat(2.0), simulated_periods("ranking"))[-1].weights)
    users, items = (torch.arange(size + 1) for size in LOGS.sizes)
    scores = ranker(users, items)
    for user in users.tolist():
        expected = [log1p(counts.get((user, item), 0.0)) for item in items.tolist()]
        assert scores[user].tolist() == pytest.approx(expected, abs=1e-6)


def test_of_each_user_the_best_are_kept() -> None:
    whole, best = (pair_scores_of(Repeat(2.0, top).start(MODEL, {}, LOGS).weights) for top in (200, 2))
    assert whole is not None and best is not None and int(best.start.diff().max()) == 2
    for user in range(LOGS.sizes[0]):
        all_of, own = (slice(*pairs.start[user : user + 2].tolist()) for pairs in (whole, best))
        assert best.value[own].sum() == pytest.approx(float(whole.value[all_of].sort(descending=True).values[:2].sum()))
        assert best.item[own].tolist() == sorted(best.item[own].tolist())


def test_recency_by_a_loop() -> None:
    decay, last = decay_weights(LOGS, 1.0), {}
    for item, weight in zip(LOGS.rows[:, 1].tolist(), decay.tolist(), strict=True):
        last[item] = max(last.get(item, 0.0), weight)
    bias = Recency().start(MODEL, {}, LOGS).weights["table.item"][:, -1]
    assert bias.tolist() == pytest.approx([last.get(item, 0.0) for item in range(LOGS.sizes[1])])


@pytest.mark.parametrize("wrap", [AverageWeights, AddPopularity, ASMG])
@pytest.mark.parametrize("learner", [Repeat(), Hedge((NoUpdate(), Repeat()))])
def test_what_makes_weights_of_weights_refuses_pair_scores(wrap: type, learner: object) -> None:
    with pytest.raises(ValueError, match="Repeat serves more than the model's own"):
        wrap(learner)


def test_an_empty_history_says_nothing() -> None:
    empty = replace(LOGS.select(slice(0)), period=4)
    for strategy in (Repeat(), Recency()):
        weights = strategy.start(MODEL, {}, empty).weights
        assert not from_weights(MODEL.factors, weights)(torch.tensor([0]), torch.arange(4)).any()


def test_half_lives_that_mean_nothing_are_refused() -> None:
    for strategy in (Repeat, Recency):
        with pytest.raises(ValueError, match="half_life: given 0; it is in periods"):
            strategy(half_life=0)
    with pytest.raises(ValueError, match="top: given 0"):
        Repeat(top=0)
