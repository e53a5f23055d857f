"""Intervals over users: they hold the truth as often as they say, and know how little few users tell."""

from __future__ import annotations

from math import inf

import pytest
import torch

from nightloop.tasks.gate.bootstrap import FEWEST, MOST, Resamples, interval, resample, student_quantile


def by_user(user: torch.Tensor, resamples: int, alpha: float, name: str) -> Resamples:
    return resample(user, torch.arange(len(user)), resamples, alpha, name)


def all_rows(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.bool)


@pytest.mark.parametrize("skew", [False, True])
def test_bounds_are_wrong_as_often_as_they_say(skew: bool) -> None:
    g = torch.Generator().manual_seed(0)
    below = above = 0
    for trial in range(300):
        user = torch.randint(150, (500,), generator=g)
        own = torch.randn(150, generator=g).double()
        own = own.exp().clamp(max=4) - 1.404 if skew else own  # mean 0
        gain = own[user] + torch.randn(500, generator=g).double()
        found = interval(gain, all_rows(500), by_user(user, 300, 0.1, f"{trial}"), 0.1)
        assert found is not None
        below += found.low > 0
        above += found.high < 0
    for wrong in (below, above):
        assert wrong / 300 < 0.1 + 3 * (0.09 / 300) ** 0.5


def test_rows_of_one_user_are_not_counted_as_independent() -> None:
    g = torch.Generator().manual_seed(1)
    own = torch.randn(50, generator=g).double()
    user = torch.arange(50)
    once = interval(own, all_rows(50), by_user(user, 500, 0.05, "a"), 0.05)
    often = interval(own.repeat(20), all_rows(1000), by_user(user.repeat(20), 500, 0.05, "a"), 0.05)
    assert once is not None and often is not None
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-6)


def test_too_few_users_have_no_interval() -> None:
    user = torch.arange(FEWEST - 1)
    assert interval(torch.randn(len(user)).double(), all_rows(len(user)), by_user(user, 100, 0.1, ""), 0.1) is None
    nobody = torch.zeros(0, dtype=torch.int64)
    assert interval(torch.zeros(0).double(), all_rows(0), by_user(nobody, 100, 0.1, ""), 0.1) is None


def test_gains_of_three_users_alone_are_never_sure() -> None:
    user = torch.arange(200)
    gain = (user < 3).double()
    found = interval(gain, all_rows(200), by_user(user, 500, 0.05, "x"), 0.05)
    assert found is not None
    assert found.low < 0 < found.high


def test_equal_gains_are_known_exactly_and_one_gain_not_at_all() -> None:
    user = torch.arange(100)
    same = interval(torch.full((100,), 0.3).double(), all_rows(100), by_user(user, 200, 0.05, ""), 0.05)
    assert same is not None and (same.low, same.high) == (same.mean, same.mean)
    single = interval((user == 7).double(), all_rows(100), by_user(user, 200, 0.05, ""), 0.05)
    assert single is not None and (single.low, single.high) == (-inf, inf)


def test_many_users_share_groups_and_are_still_counted() -> None:
    user = torch.arange(3 * MOST)
    many = by_user(user, 100, 0.1, "many")
    found = interval(
        torch.randn(len(user), generator=torch.Generator().manual_seed(0)).double(), all_rows(len(user)), many, 0.1
    )
    assert found is not None
    assert found.users == 3 * MOST
    assert many.counts.shape[1] == MOST
    assert found.high - found.low == pytest.approx(2 * 1.2816 / len(user) ** 0.5, rel=0.25)


def test_resamples_follow_the_name_and_a_small_alpha_asks_for_more() -> None:
    user = torch.arange(30)
    one, two, other = (by_user(user, 100, 0.05, name).counts for name in ("a", "a", "b"))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert bool((one.sum(1) == 30).all())
    assert len(by_user(user, 100, 0.001, "a").counts) == 10_000


def test_student_against_the_table() -> None:
    assert student_quantile(0.05, 0) == inf
    for freedom, value in ((5, 2.015), (10, 1.812), (30, 1.697), (100000, 1.645)):
        assert student_quantile(0.05, freedom) == pytest.approx(value, abs=0.01)


def test_rows_that_share_a_pool_share_its_luck() -> None:
    """Without it bounds would be wrong far more often: half of each gain is the luck of the pool here."""
    g = torch.Generator().manual_seed(3)
    wrong = alone = 0
    for trial in range(200):
        user, pool = torch.randint(200, (600,), generator=g), torch.arange(600) // 15
        gain = torch.randn(600, generator=g).double() + 0.5 * torch.randn(40, generator=g).double()[pool]
        one = interval(gain, all_rows(600), resample(user, pool, 100, 0.1, f"{trial}"), 0.1)
        other = interval(gain, all_rows(600), by_user(user, 100, 0.1, f"{trial}"), 0.1)
        assert one is not None and other is not None
        wrong, alone = wrong + (one.low > 0), alone + (other.low > 0)
    assert wrong / 200 < 0.1 + 3 * (0.09 / 200) ** 0.5 < alone / 200


def test_a_tiny_alpha_takes_no_more_memory_than_a_machine_has() -> None:
    sampled = resample(torch.arange(30), torch.arange(30), 100, 0.0001, "night")
    assert len(sampled.counts) == 20_000
    found = interval(torch.arange(30).double(), torch.ones(30, dtype=torch.bool), sampled, 0.0001)
    assert found is not None and found.low < found.mean - 3.5 * 1.6
