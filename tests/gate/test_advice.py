"""Advice: only where many nights agree, the largest saving first."""

from __future__ import annotations

import pytest

from nightloop.tasks.gate.advice import Compared, advice


def nights(gains: list[float], seconds: float) -> list[Compared]:
    return [Compared(i, gain, 0.3, seconds, 170.0) for i, gain in enumerate(gains)]


def test_a_cheap_strategy_that_keeps_up_is_advised_first() -> None:
    seen = {
        "full-retrain": nights([0.0] * 10, 170.0),
        "fine-tune": nights([-0.1, 0.0005, -0.001, 0.0, 0.001, -0.0005, 0.0, 0.001, -0.001, 0.0], 10.0),
        "average": nights([0.012, 0.011, 0.013, 0.012, 0.011, 0.012], 170.0),
    }
    assert advice("full-retrain", seen) == [
        "fine-tune has matched full-retrain for 9 nights at 1/17 of the time: switch?",
        "average has beaten full-retrain by 3.9 % over 6 nights: switch?",
    ]


@pytest.mark.parametrize(
    "gains",
    [[0.0] * 4, [0.0] * 9 + [-0.02], [-0.0028, -0.003, -0.0029] * 3 + [-0.0031], []],
    ids=["too few nights", "lost the last one", "loses a little every night", "none"],
)
def test_no_advice_without_a_habit(gains: list[float]) -> None:
    assert advice("full-retrain", {"fine-tune": nights(gains, 10.0)}) == []


def test_as_good_but_not_cheaper_is_not_worth_a_change() -> None:
    assert advice("a", {"b": nights([0.0] * 9, 170.0)}) == []
    with pytest.raises(ValueError, match="tolerance"):
        advice("a", {}, tolerance=-0.1)
