"""Popularity, ALS and BPR: controls written as MF weights."""

from itertools import pairwise

import pytest
import torch

from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.retraining.advance import recent_rows
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.mf_weights import from_parts, inner_width
from nightloop.tasks.retraining.time_decay import decay_weights
from nightloop.tasks.strategies.als import ALS
from nightloop.tasks.strategies.bpr import BPR
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights

BIASED, PLAIN = MF(width=4, biases=True), MF(width=5)


def test_decay_halves_by_the_period_and_falls_row_by_row():
    logs = simulated_periods("ranking", rows=60)[-1]
    weight = decay_weights(logs, 2.0)
    assert weight[-1] == 1.0
    assert weight[-121] / weight[-1] == pytest.approx(0.5)
    steps = [later / earlier for earlier, later in pairwise(weight.tolist())]
    assert steps == pytest.approx([2 ** (1 / 120)] * len(steps))
    assert len(decay_weights(logs.since(99), 2.0)) == 0


@pytest.mark.parametrize("model", [BIASED, PLAIN])
def test_popularity_gives_everybody_the_decayed_counts(model):
    logs = simulated_periods("ranking")[-1]
    made = Popularity(1.0).start(model, {}, logs)
    count = torch.bincount(logs.rows[:, 1], decay_weights(logs, 1.0), minlength=logs.sizes[1])
    assert torch.allclose(predict(model, made.weights, logs), torch.log1p(count)[logs.rows[:, 1]].float())


def test_ten_half_lives_are_enough():
    logs = simulated_periods("ranking", count=14, rows=30)[-1]
    strategy = Popularity(1.0)
    whole, short = (
        strategy.start(BIASED, {}, part).weights["table.item"] for part in (logs, recent_rows(logs, strategy.lookback))
    )
    assert float((whole - short).abs().max()) < 0.03


def test_only_biases_serve_users_without_a_row():
    early, late = (simulated_periods("ranking")[t] for t in (0, 4))
    new = late.select((late.rows[:, 0] >= early.sizes[0]) & (late.rows[:, 1] < early.sizes[1]))
    assert len(new)
    assert (predict(BIASED, Popularity().start(BIASED, {}, early).weights, new) > 0).all()
    assert (predict(PLAIN, Popularity().start(PLAIN, {}, early).weights, new) == 0).all()


@pytest.mark.parametrize("strategy", [ALS(iterations=5), BPR(epochs=20, rate=0.05)])
@pytest.mark.parametrize("model", [BIASED, PLAIN])
def test_factorisations_rank_what_was_taken_above_the_rest(strategy, model):
    pytest.importorskip("implicit")
    logs = simulated_periods("ranking", rows=200)[2]
    weights = strategy.start(model, initial_weights(model, logs), logs).weights
    users, items = model.factors(weights)
    taken = torch.zeros(logs.sizes, dtype=torch.bool)
    taken[logs.rows[:, 0], logs.rows[:, 1]] = True
    scores = users @ items.T
    assert scores[taken].mean() > scores[~taken].mean() + 0.5 * scores.std()


def test_parts_are_the_logits_they_promise():
    users, items, bias = torch.randn(3, 2), torch.randn(6, 2), torch.randn(6)
    for model in (BIASED, PLAIN):
        left, right = model.factors(from_parts(model, users, items, bias))
        assert torch.allclose(left @ right.T, users @ items.T + bias, atol=1e-5)
    assert inner_width(BIASED) == inner_width(PLAIN) == 4
    with pytest.raises(ValueError, match="at most 4 fit"):
        from_parts(BIASED, torch.zeros(3, 5), items, bias)
    with pytest.raises(ValueError, match="set width to 2"):
        inner_width(MF(width=1))


def test_a_click_model_is_refused():
    logs = simulated_periods("ctr")[0]
    with pytest.raises(ValueError, match="only MF"):
        Popularity().start(DeepFM(fields=("user", "item"), width=4, hidden=(8,)), {}, logs)
    assert Popularity.models == ALS.models == BPR.models == ("MF",)


@pytest.mark.parametrize("wrong", [{"half_life": 0.0}, {"half_life": float("nan")}, {"half_life": -1.0}])
def test_impossible_half_lives(wrong):
    for strategy in (Popularity, ALS):
        with pytest.raises(ValueError, match="half_life"):
            strategy(**wrong)


@pytest.mark.parametrize("kind", [ALS, BPR])
def test_a_control_whose_package_is_missing_says_what_to_install(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightloop.tasks.plan.plugins.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs implicit: pip install 'nightloop\[controls\]'"):
        kind()
