"""How often the gate promotes what is no better in a year of looking every night, and how soon what is: measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from nightloop.tasks.gate import sequential_test
from nightloop.tasks.gate.decide import decide
from nightloop.tasks.gate.sequential_test import common_variance, log_evidence, log_needed
from nightloop.tasks.plan.plan import Gate
from tests.benchmarks import gate_year
from tests.gate.make_nights import race, replay


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Many tiny sums are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("effect", [0.0, 3.0], ids=["no night effect", "night effect"])
@pytest.mark.parametrize("gain", [0.0, -0.2], ids=["equal", "worse"])
def test_the_chance_of_any_false_promotion_in_a_year_is_at_most_alpha(effect: float, gain: float) -> None:
    found = gate_year.false_promotions(3, effect, gain, chains=500)
    assert found["upper"] <= gate_year.LIMIT


def test_a_test_that_does_not_know_of_other_nights_would_promote_by_chance() -> None:
    """The simulation can fail: one look of 1.645 standard errors, every night, is wrong in a third of the years."""
    rng, wrong = np.random.default_rng(0), np.zeros(200, bool)
    total = np.zeros(200)
    for night in range(1, 366):
        total += gate_year.draw_gains(rng, 200, 0.0, 1, 0.0)[:, 0]
        wrong |= total / night**0.5 > 1.645
    assert wrong.mean() > 0.2


@pytest.mark.parametrize(("gain", "limit"), gate_year.DELAYS.items())
def test_a_true_gain_is_promoted_in_time(gain: float, limit: int) -> None:
    assert gate_year.delay(gain, chains=500) <= limit


def test_the_closed_form_is_the_integral_that_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gains, common, scale = np.array([0.5, 1.2, 2.0, 0.3, 1.1]), 0.3, 2.0
    monkeypatch.setattr(sequential_test, "SCALES", ((1.0, scale),))

    def density(variance: float, mean: float) -> float:
        covariance = variance * (np.eye(5) + common)
        rest = gains - mean
        return float(np.exp(-rest @ np.linalg.solve(covariance, rest) / 2) / np.linalg.det(covariance) ** 0.5)

    def under_the_alternative(log_variance: float) -> float:
        variance = np.exp(log_variance)
        half_normal = lambda z: 2 * np.exp(-z * z / 2) / (2 * np.pi) ** 0.5  # noqa: E731
        return quad(lambda z: half_normal(z) * density(variance, z * (scale * variance) ** 0.5), 0, 10)[0]

    ratio = quad(under_the_alternative, -8, 8)[0] / quad(lambda log: density(np.exp(log), 0.0), -8, 8)[0]
    found = np.exp(log_evidence(5, gains.sum(), (gains**2).sum(), common=common))
    assert found == pytest.approx(ratio, rel=1e-4)


def test_the_evidence_is_a_martingale_at_no_gain_and_falls_below_it_at_a_loss() -> None:
    rng = np.random.default_rng(1)
    for mean, low, high in ((0.0, 0.9, 1.1), (-0.5, 0.0, 0.6)):
        gains = mean + rng.standard_normal((100_000, 4))
        found = np.exp(log_evidence(4, gains.sum(1), (gains**2).sum(1)))
        assert low < found.mean() < high


def test_the_parts_of_alpha_sum_to_alpha() -> None:
    spent = np.exp(-log_needed(0.05, np.arange(1, 100_000), 1.0))
    assert spent.sum() == pytest.approx(0.05, rel=1e-3)


def test_nights_with_the_same_users_say_little_more_than_one() -> None:
    nights = np.arange(5, 200)
    total, squares = 2.0 * nights, 4.0 * nights + 0.2 * nights
    common = common_variance(0.9, nights, total, squares)
    assert np.exp(log_evidence(nights, total, squares, common=common)).max() < 20
    assert np.exp(log_evidence(nights, total, squares)).max() > 1e6


def test_users_who_keep_their_tastes_are_not_counted_every_night_anew() -> None:
    """The same 150 users like a rival by chance, on every night: no challenger is better for users at large."""
    rule = Gate(max_slice_loss=10.0, resamples=100)
    for seed in range(3):
        evidence, nights = None, race(seed, {"a": 1.0, "b": 1.0}, nights=60, n=300)
        for newest in range(1, len(nights) + 1):
            decision = decide(rule, "ranking", "old", nights[max(newest - 3, 0) : newest], evidence)
            evidence = decision.evidence
            assert decision.winner is None


def test_a_real_gain_is_promoted_and_a_real_loss_never() -> None:
    rule = Gate(resamples=100)
    assert [replay(rule, "ranking", "old", race(s, {"new": 5.0})).winner for s in range(4)] == ["new"] * 4
    assert [replay(rule, "ranking", "old", race(s, {"new": 0.5})).winner for s in range(4)] == [None] * 4


@pytest.mark.parametrize(("loss", "spread"), [(30.0, 3.0), (5.0, 0.8), (1.0, 1.0)])
def test_a_rival_that_loses_every_night_never_gets_evidence_however_long_it_does(loss: float, spread: float) -> None:
    """The probability of such losses is too small for a number after some hundred nights."""
    nights = np.array([1.0, 10.0, 300.0, 310.0, 1000.0, 1e4, 1e5])
    logs = log_evidence(nights, -loss * nights, (loss**2 + spread**2) * nights)
    assert np.all(np.diff(logs) < 0) and logs[0] < 0
