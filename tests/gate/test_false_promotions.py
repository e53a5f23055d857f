"""How often the gate promotes what is no better (A/A), and how often what is: measured, not hoped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nightloop.tasks.gate.decide import decide
from nightloop.tasks.plan.plan import Gate
from tests.gate.make_nights import race

NIGHTS = 160


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Many tiny sums are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def promotions(rule: Gate, gains: dict[str, float], count: int, **size: int) -> int:
    return sum(decide(rule, "ranking", "old", race(seed, gains, **size)).winner is not None for seed in range(count))


@pytest.mark.parametrize(
    ("rivals", "users", "rows"), [(1, 150, 300), (3, 60, 150), (1, 30, 120)], ids=["one", "three", "few users"]
)
def test_false_promotions_are_at_most_alpha(rivals: int, users: int, rows: int) -> None:
    rule = Gate(alpha=0.1, evidence_nights=2, max_slice_loss=10.0, resamples=200)
    found = promotions(rule, {f"s{i}": 1.0 for i in range(rivals)}, NIGHTS, nights=2, n=rows, users=users)
    assert found <= NIGHTS * 0.1 + 3 * (NIGHTS * 0.1 * 0.9) ** 0.5
    assert found > 0  # a gate that never opens would pass too


def test_a_real_gain_is_promoted_and_a_small_one_at_times() -> None:
    rule = Gate(alpha=0.05, resamples=200)
    assert promotions(rule, {"better": 3.0, "same": 1.0}, 25) >= 24
    few = promotions(rule, {"better": 1.5, "same": 1.0}, 25)
    assert 0 < few < 25


def test_a_real_loss_is_never_promoted() -> None:
    assert promotions(Gate(resamples=200), {"worse": 0.5}, 25) == 0
