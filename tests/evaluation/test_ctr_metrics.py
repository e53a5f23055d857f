"""Click metrics against scikit-learn, with many ties, and against a slow loop where it has none."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from nightloop.tasks.evaluation.auc import auc, gauc
from nightloop.tasks.evaluation.ctr_metrics import SMALLEST, calibration, ece, logloss, normalised_entropy


def sample(seed: int, n: int = 500) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    label = (torch.rand(n, generator=g) < 0.3).float()
    prediction = (torch.rand(n, generator=g) * 0.7 + label * 0.2).round(decimals=1).clamp(0.1, 0.9)
    return torch.randint(40, (n,), generator=g), label, prediction


@pytest.mark.parametrize("seed", range(5))
def test_e3_auc_and_logloss_equal_sklearn_with_ties(seed: int) -> None:
    _, label, prediction = sample(seed)
    assert auc(label, prediction) == pytest.approx(roc_auc_score(label, prediction), abs=1e-12)
    assert float(logloss(label, prediction).mean()) == pytest.approx(log_loss(label, prediction.double()), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30))
def test_auc_equals_the_share_of_ordered_pairs(rows: list[tuple[int, int]]) -> None:
    positives, negatives = [s for y, s in rows if y], [s for y, s in rows if not y]
    label, score = torch.tensor([float(y) for y, _ in rows]), torch.tensor([float(s) for _, s in rows])
    if not positives or not negatives:
        with pytest.raises(ValueError, match="both classes"):
            auc(label, score)
        return
    wins = [float(p > n) + 0.5 * float(p == n) for p in positives for n in negatives]
    assert auc(label, score) == pytest.approx(sum(wins) / len(wins), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gauc_is_the_mean_over_users_with_both_classes_by_rows(seed: int) -> None:
    user, label, prediction = sample(seed, 300)
    total = weight = 0.0
    for u in user.unique():
        mine = user == u
        if 0 < float(label[mine].sum()) < int(mine.sum()):
            total += float(roc_auc_score(label[mine], prediction[mine])) * int(mine.sum())
            weight += int(mine.sum())
    assert gauc(user, label, prediction) == pytest.approx(total / weight, abs=1e-12)
    with pytest.raises(ValueError, match="both classes"):
        gauc(user, torch.ones_like(label), prediction)


def test_calibration_and_its_error_by_hand() -> None:
    label = torch.tensor([0.0, 0.0, 1.0, 1.0])
    prediction = torch.tensor([0.1, 0.3, 0.3, 0.9])
    assert calibration(label, prediction) == pytest.approx(0.8)
    # two bins: the tied 0.3 share the second bin's half open side: places 0.5, 2, 2, 3.5 of 4
    assert ece(label, prediction, bins=2) == pytest.approx((abs(0.1) + abs(0.3 + 0.3 + 0.9 - 2)) / 4)
    perfect = torch.full((1000,), 0.25)
    assert ece((torch.arange(1000) % 4 == 0).float(), perfect) == pytest.approx(0)
    with pytest.raises(ValueError, match="observed positive"):
        calibration(torch.zeros(3), torch.full((3,), 0.2))


def test_rows_in_another_order_give_the_same_error() -> None:
    _, label, prediction = sample(9)
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(1))
    assert ece(label[order], prediction[order]) == pytest.approx(ece(label, prediction), abs=1e-12)


def test_certain_and_wrong_costs_much_but_not_infinity() -> None:
    cost = float(logloss(torch.ones(1), torch.zeros(1))[0])
    assert cost == pytest.approx(-math.log(SMALLEST))


@pytest.mark.parametrize("measure", [auc, logloss, calibration, ece])
def test_nan_and_wrong_labels_are_errors(measure: object) -> None:
    assert callable(measure)
    good = torch.tensor([0.0, 1.0])
    with pytest.raises(ValueError, match="NaN"):
        measure(good, torch.tensor([0.5, float("nan")]))
    with pytest.raises(ValueError, match="0 or 1"):
        measure(torch.tensor([0.0, float("nan")]), torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"\(1,\)"):
        measure(good, torch.tensor([0.5]))


def test_what_is_no_probability_is_an_error() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        logloss(torch.tensor([1.0]), torch.tensor([1.5]))


def test_normalised_entropy_is_one_for_the_mean_and_less_for_who_knows_more() -> None:
    label = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    assert normalised_entropy(label, torch.full((8,), 0.25)) == pytest.approx(1.0)
    assert normalised_entropy(label, torch.where(label > 0, 0.9, 0.1)) < 0.5
    assert normalised_entropy(label, torch.where(label > 0, 0.1, 0.9)) > 1.5
    with pytest.raises(ValueError, match="both classes"):
        normalised_entropy(torch.ones(4), torch.full((4,), 0.5))
