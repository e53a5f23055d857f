"""Bands and distances: hand counts, false alarms by simulation, and what a night cannot do to later bands."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import ks_2samp

from nightloop.tasks.plan.expectations import Band, Drift, Expectations
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.drift import QUANTILES, allowed_range, ks, psi, reference_values, with_prefix
from nightloop.tasks.validation.period_checks import period_checks

COLUMNS = Columns(user="u", item="i", time="t", categorical=("c",), numeric=("x",), key=())


def quantiles(values: np.ndarray) -> dict[str, float]:
    points = np.quantile(values, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return {f"{number:02d}": float(value) for number, value in enumerate(points)}


def night(
    random: np.random.Generator, n: int, mean: float = 0.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> dict[str, float]:
    drawn = np.bincount(random.choice(len(shares), n, p=shares), minlength=len(shares)) / n
    found = {f"category/c/{k:02x}": float(share) for k, share in enumerate(drawn) if share}
    found |= {f"number/x/{key}": value for key, value in quantiles(random.normal(mean, 1, n)).items()}
    zeros = dict.fromkeys(("quarantine_share", "duplicate_share", "outside_share", "out_of_order_share"), 0.0)
    return {**found, **zeros, "rows": float(n), "clean": float(n)}


def test_a_band_is_the_median_give_or_take_the_largest_of_three() -> None:
    nights = [{"rows": value} for value in (100.0, 110.0, 90.0, 100.0, 5000.0)]
    assert allowed_range(Band(relative=0.4), "rows", nights) == (pytest.approx(100 - 5 * 14.826), pytest.approx(174.13))
    assert allowed_range(Band(relative=0.9), "rows", nights) == (pytest.approx(10.0), pytest.approx(190.0))
    assert allowed_range(Band(relative=0, absolute=300), "rows", nights) == (-200.0, 400.0)
    assert allowed_range(Band(sides="above", relative=0.9), "rows", nights) == (-math.inf, pytest.approx(190.0))
    assert allowed_range(Band(sides="below", relative=0.9), "rows", nights) == (pytest.approx(10.0), math.inf)
    assert allowed_range(Band(nights=1, least=1, relative=0.5), "rows", nights) == (2500.0, 7500.0)


def test_too_few_nights_or_nights_without_the_number_judge_nothing() -> None:
    assert allowed_range(Band(least=3), "rows", [{"rows": 1.0}, {"rows": 2.0}]) is None
    assert allowed_range(Band(least=1), "rows", [{"other": 1.0}, {"rows": math.nan}]) is None
    assert reference_values(Drift(most=1, least=2), "category/c/", [{"category/c/aa": 1.0}]) == []


def test_psi_is_the_sum_it_is_said_to_be() -> None:
    now, before = {"a": 0.5, "b": 0.5}, [{"a": 0.2, "b": 0.8}, {"a": 0.4, "b": 0.6}]
    expected = (0.5 - 0.3) * math.log(0.5 / 0.3) + (0.5 - 0.7) * math.log(0.5 / 0.7)
    assert psi(now, before) == pytest.approx(expected)
    assert psi(before[0], before[:1]) == 0.0
    assert psi({"z": 1.0}, before) > 5 and math.isfinite(psi({"z": 1.0}, before))
    assert math.isnan(psi({}, before)) and math.isnan(psi(now, []))


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 10.0])
def test_ks_of_quantiles_is_near_the_exact_one(shift: float) -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0, 1, 5000), random.normal(shift, 1, 5000)
    exact = float(ks_2samp(first, second).statistic)
    assert ks(quantiles(second), [quantiles(first)]) == pytest.approx(exact, abs=1.5 / (QUANTILES - 1))


def test_ks_of_few_different_values_is_near_the_exact_one() -> None:
    random = np.random.default_rng(0)
    first, second = random.choice(5, 4000, p=[0.1, 0.2, 0.4, 0.2, 0.1]), random.choice(5, 4000)
    exact = float(ks_2samp(first, second).statistic)
    assert ks(quantiles(second), [quantiles(first)]) == pytest.approx(exact, abs=1.5 / (QUANTILES - 1))
    assert ks({"00": 1.0, "01": 1.0}, [{"00": 1.0, "01": 1.0}]) == 0.0
    assert ks({"00": 1.0, "01": 1.0}, [{"00": 2.0, "01": 2.0}]) == 1.0
    assert math.isnan(ks({}, [{"00": 1.0}]))


def outside(found: Mapping[str, float], history: list[dict[str, float]]) -> list[str]:
    checks = period_checks(Expectations(), COLUMNS, found, history)
    return [c.name for c in checks if c.is_judged and not c.low <= c.observed <= c.high]


@pytest.mark.parametrize("n", [30, 300, 3000])
def test_nights_that_differ_by_chance_alone_are_hardly_ever_told(n: int) -> None:
    random = np.random.default_rng(n)
    told = 0
    for _ in range(150):
        nights = [night(random, n) for _ in range(4)]
        told += bool(outside(nights[-1], nights[:-1]))
    assert told <= 3


def test_a_large_shift_is_told_as_soon_as_one_night_passed() -> None:
    random = np.random.default_rng(1)
    before = [night(random, 2000)]
    assert outside(night(random, 2000, mean=1.0), before) == ["KS of x"]
    assert outside(night(random, 2000, shares=(0.1, 0.1, 0.8)), before) == ["PSI of c"]


def test_only_nights_handed_in_count_and_order_of_names_does_not() -> None:
    random = np.random.default_rng(2)
    nights = [night(random, 500) for _ in range(5)]
    shuffled = [dict(reversed(list(one.items()))) for one in nights]
    plan = Expectations()
    straight = period_checks(plan, COLUMNS, nights[4], nights[:4])
    assert straight == period_checks(plan, COLUMNS, shuffled[4], shuffled[:4])
    assert with_prefix("category/c/", {"category/c/aa": 1.0, "category/cc/bb": 2.0}) == {"aa": 1.0}


def test_a_missing_statistic_is_not_a_number_and_never_passes() -> None:
    random = np.random.default_rng(3)
    nights = [night(random, 500) for _ in range(4)]
    holed = {k: value for k, value in nights[3].items() if not k.startswith("number/") and k != "outside_share"}
    assert outside(holed, nights[:3]) == ["share outside the period", "KS of x"]
