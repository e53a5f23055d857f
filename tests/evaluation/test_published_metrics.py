"""E4: how the papers put an improvement into one number, read off the figures they print beside it.

What our reports call relative is one metric's; SML's RI is the mean of three. Whoever compares must know which is which.
"""

from __future__ import annotations

from statistics import mean

import pytest

# SML (Zhang et al. 2020), main table, Adressa: Recall@5, 10, 20, RI %, NDCG@5, 10, 20, RI %. SML itself is last.
SML = {
    "Full-retrain": (0.0495, 0.0915, 0.1631, 319.7, 0.0303, 0.0437, 0.0616, 393.1),
    "Fine-tune": (0.1085, 0.2235, 0.3776, 82.8, 0.0594, 0.0962, 0.1351, 135.5),
    "SPMF": (0.1047, 0.2183, 0.3647, 87.3, 0.0572, 0.0935, 0.1306, 143.6),
    "GRU4Rec": (0.0213, 0.0430, 0.0860, 809.0, 0.0125, 0.0194, 0.0302, 1018.4),
    "Caser": (0.2658, 0.3516, 0.4259, 6.5, 0.1817, 0.2096, 0.2285, 2.1),
    "SML": (0.2815, 0.3794, 0.4498, 0.0, 0.1838, 0.2156, 0.2336, 0.0),
}
MISPRINTED = {("SPMF", 3): 88.7}  # the one cell that does not follow from its row


@pytest.mark.parametrize("method", SML)
@pytest.mark.parametrize("first", [0, 4])
def test_e4_smls_relative_improvement_is_the_mean_over_the_three_lengths(method: str, first: int) -> None:
    ratios = [
        100 * (best / other - 1)
        for best, other in zip(SML["SML"][first:], SML[method][first : first + 3], strict=False)
    ]
    printed = MISPRINTED.get((method, first + 3), SML[method][first + 3])
    assert mean(ratios) == pytest.approx(printed, abs=max(0.06, 0.003 * printed)), "cells are rounded to four digits"
