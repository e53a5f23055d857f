"""Paired differences: right on average, honest about correlated rows, and deaf to unpaired input."""

from __future__ import annotations

import pytest
import torch

from nightloop.tasks.evaluation.paired_difference import FEWEST, Difference, difference, holm


def results(above: torch.Tensor, user: torch.Tensor) -> dict[str, torch.Tensor]:
    none = torch.zeros(len(user), dtype=torch.bool)
    return {
        "user": user, "item": torch.arange(len(user)), "new_user": none, "new_item": none,
        "above": above.int(), "equal": torch.zeros(len(user), dtype=torch.int32),
    }  # fmt: skip


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(3)
    hits, trials = 0, 300
    for _ in range(trials):
        taste = torch.rand(60, generator=generator).repeat_interleave(8)  # rows of a user go together
        a = torch.where(torch.rand(480, generator=generator) < 0.3 + 0.4 * taste, 0, 50)
        b = torch.where(torch.rand(480, generator=generator) < 0.7 - 0.4 * taste, 0, 50)
        user = torch.arange(60).repeat_interleave(8)
        found = difference([(results(a, user), results(b, user))], "recall@20")
        hits += found is not None and found.low <= 0 <= found.high
    assert 0.91 <= hits / trials <= 0.98


def test_plus_is_better_and_nights_add_up() -> None:
    user = torch.arange(40)
    good, bad = results(torch.zeros(40), user), results(torch.full((40,), 99), user)
    found = difference([(good, bad), (bad, bad)], "recall@20")
    assert found is not None and found.mean == pytest.approx(0.5) and (found.users, found.rows) == (40, 80)
    assert not found.sure, "a gain on one of two nights may be the night's"
    same_night = difference([(good, bad), (bad, bad)], "recall@20", nights=[7, 7])
    assert same_night is not None and same_night.sure, "two seeds of one night are no two nights"


def nights_of(generator: torch.Generator, nights: int, effect: float, gain: float = 0.0) -> list[tuple[dict, dict]]:
    """Pairs of nights of 60 users with 5 rows each; a night effect moves all rows of a night."""
    pairs = []
    for _ in range(nights):
        user = torch.randint(2000, (60,), generator=generator).repeat_interleave(5)
        shift = gain + effect * float(torch.randn(1, generator=generator))
        a = torch.where(torch.rand(300, generator=generator) < 0.5 + shift, 0, 50)
        b = torch.where(torch.rand(300, generator=generator) < 0.5, 0, 50)
        pairs.append((results(a, user), results(b, user)))
    return pairs


@pytest.mark.parametrize("effect", [0.0, 0.1], ids=["no night effect", "night effect"])
def test_the_interval_covers_the_truth_of_other_nights(effect: float) -> None:
    generator = torch.Generator().manual_seed(5)
    found = [difference(nights_of(generator, 6, effect), "recall@20") for _ in range(200)]
    covered = sum(gap is not None and gap.low <= 0 <= gap.high for gap in found) / 200
    assert covered >= 0.92


def test_without_night_effects_the_interval_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(5)
    found = [difference(nights_of(generator, 6, 0.1), "recall@20", nights=[0] * 6) for _ in range(100)]
    assert sum(gap is not None and gap.low <= 0 <= gap.high for gap in found) / 100 < 0.8


def test_rows_of_one_pool_widen_the_interval() -> None:
    user = torch.arange(400)
    pool = user // 20
    easy = pool % 2 == 0  # every second pool was easy for a
    a, b = results(torch.where(easy, 0, 50), user), results(torch.where(easy, 50, 0) * 0 + 25 * (user % 2), user)
    alone = difference([(a, b)], "recall@20")
    shared = difference([({**a, "pool": pool}, {**b, "pool": pool})], "recall@20")
    assert alone is not None and shared is not None and shared.error > 2 * alone.error


def test_many_entrants_of_which_none_is_better_are_seldom_called_sure() -> None:
    generator, wrong, alone = torch.Generator().manual_seed(6), 0, 0
    for _ in range(100):
        gaps = [difference(nights_of(generator, 1, 0.0), "recall@20") for _ in range(8)]
        alone += any(gap is not None and gap.sure for gap in gaps)
        wrong += any(gap is not None and gap.sure for gap in holm(gaps))
    assert wrong <= 11 < alone


def test_holm_gives_the_surest_the_strictest_level_and_stops() -> None:
    made = [Difference(m, m, m, 99, 99, 1.0, None) for m in (2.3, 4.0, 2.2, 0.1)]
    found = [gap for gap in holm([*made, None]) if gap is not None]
    assert [gap.sure for gap in found] == [False, True, False, False]
    widths = [gap.high - gap.mean for gap in found]
    assert widths[1] == pytest.approx(2.4977, abs=1e-3) and widths[0] == pytest.approx(2.3940, abs=1e-3)
    assert widths[2] == pytest.approx(widths[0]) and widths[3] == pytest.approx(widths[0])


def test_too_few_users_tell_nothing() -> None:
    user = torch.arange(FEWEST - 1)
    same = results(torch.zeros(FEWEST - 1), user)
    assert difference([(same, same)], "recall@20") is None and difference([], "recall@20") is None


def test_other_rows_are_refused() -> None:
    a, b = results(torch.zeros(30), torch.arange(30)), results(torch.zeros(30), torch.arange(30).flip(0))
    with pytest.raises(ValueError, match="same rows"):
        difference([(a, b)], "recall@20")
