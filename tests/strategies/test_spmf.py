"""SPMF: the reservoir is a uniform sample, ranks give the chances, and what is trained on is what the paper says."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.reservoir import empty_reservoir
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.spmf import SPMF, rank_chances
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights

SHORT = TrainConfig(epochs=2, batch_size=16)
MODEL = MF(width=4)


def chunks(sizes: tuple[int, ...], seed: int) -> list:
    """Logs of consecutive rows whose item is the number of the row."""
    whole = simulated_periods("ranking", rows=sum(sizes), count=1, seed=0)[0]
    rows = torch.arange(sum(sizes))
    whole = replace(whole, rows=torch.stack([rows, rows], 1), sizes=(len(rows), len(rows)), seed=seed)
    return [whole.select(part) for part in torch.split(rows, list(sizes))]


def test_s1_every_past_row_is_kept_with_the_same_chance() -> None:
    size, sizes, runs = 20, (60, 40, 30, 30), 3000
    counts = torch.zeros(sum(sizes))
    for seed in range(runs):
        parts = chunks(sizes, seed)
        reservoir = empty_reservoir(parts[0])
        for number, part in enumerate(parts):
            reservoir = reservoir.offer(part, size, replace(part, period=number).generator("test"))
        kept = reservoir.columns["rows"][:, 0]
        assert len(kept) == size and len(torch.unique(kept)) == size, "a row was kept twice"
        counts[kept] += 1
    share = size / sum(sizes)
    spread = (share * (1 - share) / runs) ** 0.5
    assert ((counts / runs - share).abs() < 4.5 * spread).all(), "chances differ"
    for part in torch.split(
        counts / runs, list(sizes)
    ):  # the defects of other implementations: one chunk above another
        assert abs(float(part.mean()) - share) < 4 * spread / len(part) ** 0.5


def test_a_reservoir_larger_than_history_keeps_all_of_it() -> None:
    parts = chunks((30, 10), 0)
    reservoir = empty_reservoir(parts[0])
    for part in parts:
        reservoir = reservoir.offer(part, 100, part.generator("x"))
    assert sorted(reservoir.columns["rows"][:, 0].tolist()) == list(range(40)) and reservoir.seen == 40


@pytest.mark.parametrize("optimizer", ["keep", "reset"])
@pytest.mark.parametrize("family", ["ranking", "ctr"])
def test_s2_without_a_reservoir_it_is_fine_tuning(family: str, optimizer: Literal["keep", "reset"]) -> None:
    periods = simulated_periods(family)
    model = MODEL if family == "ranking" else MF(width=4)
    model.family = family
    one, two = SPMF(size=0, training=SHORT, optimizer=optimizer), FineTune(SHORT, optimizer)
    weights = initial_weights(model, periods[0])
    spmf, fine = one.start(model, weights, periods[0]), two.start(model, weights, periods[0])
    for logs in periods[1:]:
        spmf, fine = fold(model, one, spmf, logs), fold(model, two, fine, logs)
    assert all(torch.equal(spmf.weights[name], fine.weights[name]) for name in fine.weights)
    MODEL.family = "ranking"


def test_s3_chances_add_up_and_fall_with_the_score() -> None:
    scores = torch.randn(200, generator=torch.Generator().manual_seed(0))
    chances = rank_chances(scores)
    ordered = chances[torch.argsort(scores, descending=True)]
    assert abs(float(chances.sum()) - 1) < 1e-12
    assert (ordered[1:] > ordered[:-1]).all() and float(ordered[-1] / ordered[0]) < 2.7182818285
    assert float(ordered[-1] / ordered[0]) == pytest.approx(2.7182818285 ** (199 / 200))


def test_s4_the_newest_period_enters_the_reservoir_after_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightloop.tasks.strategies import spmf as module

    periods, seen = simulated_periods("ranking"), []
    monkeypatch.setattr(module, "predict", lambda m, w, logs: seen.append(logs) or predict(m, w, logs))
    strategy = SPMF(size=1000, training=SHORT)
    checkpoint = strategy.start(MODEL, initial_weights(MODEL, periods[0]), periods[0])
    for t, logs in enumerate(periods[1:], 1):
        checkpoint = fold(MODEL, strategy, checkpoint, logs)
        assert len(seen[-1]) == len(logs), "every row once: no row of the newest period is in the reservoir too"
        assert int(checkpoint.memory["positives/seen"]) == len(logs) and t == len(seen)


def test_clicks_replay_their_share_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightloop.tasks.strategies import spmf as module

    trained: list = []
    real = module.fit_and_keep
    monkeypatch.setattr(
        module, "fit_and_keep", lambda m, c, logs, *rest: trained.append(logs) or real(m, c, logs, *rest)
    )
    model = MF(width=4)
    model.family = "ctr"
    periods = simulated_periods("ctr", rows=100)
    strategy = SPMF(size=30, ratio=0.3, training=SHORT)
    checkpoint = strategy.start(model, initial_weights(model, periods[0]), periods[0])
    for logs in periods[1:]:
        newest = logs.since(logs.period)
        checkpoint = fold(model, strategy, checkpoint, logs)
        ones = int(newest.label.sum())
        replayed = min(int(0.3 * ones), 30), min(int(0.3 * (len(newest) - ones)), 30)
        assert int(trained[-1].label.sum()) == ones + replayed[0]
        assert len(trained[-1]) == len(newest) + sum(replayed)


@pytest.mark.parametrize(
    ("options", "said"), [({"size": -1}, "size: given -1"), ({"ratio": -0.1}, "ratio: given -0.1")]
)
def test_impossible_values(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SPMF(**options)
