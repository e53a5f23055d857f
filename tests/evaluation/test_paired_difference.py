"""Paired differences: right on average, honest about correlated rows, and deaf to unpaired input."""

from __future__ import annotations

import pytest
import torch

from nightloop.tasks.evaluation.paired_difference import FEWEST, difference


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
    assert (
        found is not None and found.mean == pytest.approx(0.5) and (found.users, found.rows) == (40, 80) and found.sure
    )


def test_too_few_users_tell_nothing() -> None:
    user = torch.arange(FEWEST - 1)
    same = results(torch.zeros(FEWEST - 1), user)
    assert difference([(same, same)], "recall@20") is None and difference([], "recall@20") is None


def test_other_rows_are_refused() -> None:
    a, b = results(torch.zeros(30), torch.arange(30)), results(torch.zeros(30), torch.arange(30).flip(0))
    with pytest.raises(ValueError, match="same rows"):
        difference([(a, b)], "recall@20")
