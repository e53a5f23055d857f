"""Recall and NDCG: five cases by hand, ties in expectation, and what is refused."""

from __future__ import annotations

from itertools import permutations
from math import log2

import pytest
import torch

from nightloop.tasks.evaluation.ranking_metrics import ndcg, recall

CASES = [  # above, equal, K, recall, ndcg
    (0, 0, 5, 1.0, 1.0),
    (4, 0, 5, 1.0, 1 / log2(6)),
    (5, 0, 5, 0.0, 0.0),
    (0, 1, 1, 0.5, 0.5),
    (3, 3, 5, 0.5, (1 / log2(5) + 1 / log2(6)) / 4),
    (998, 1, 10, 0.0, 0.0),
]


@pytest.mark.parametrize(("above", "equal", "k", "hit", "gain"), CASES)
def test_e1_cases_by_hand(above: int, equal: int, k: int, hit: float, gain: float) -> None:
    a, e = torch.tensor([above], dtype=torch.int32), torch.tensor([equal], dtype=torch.int32)
    assert float(recall(a, e, k)[0]) == pytest.approx(hit, abs=1e-15)
    assert float(ndcg(a, e, k)[0]) == pytest.approx(gain, abs=1e-15)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_expectation_equals_the_mean_over_all_orders_of_equal_scores(k: int) -> None:
    scores = [2, 1, 1, 1, 0]  # candidate 1 is the positive
    hits, gains = [], []
    for order in permutations(range(5)):
        ranked = sorted(order, key=lambda c: -scores[c])  # stable: ties in the order of the permutation
        place = ranked.index(1)
        hits.append(float(place < k))
        gains.append(1 / log2(place + 2) if place < k else 0.0)
    a, e = torch.tensor([1]), torch.tensor([2])
    assert float(recall(a, e, k)[0]) == pytest.approx(sum(hits) / len(hits))
    assert float(ndcg(a, e, k)[0]) == pytest.approx(sum(gains) / len(gains))


@pytest.mark.parametrize("k", [5, 10, 20])
def test_e1_a_constant_scorer_gets_k_of_a_thousand(k: int) -> None:
    a, e = torch.zeros(3), torch.full((3,), 999)
    assert recall(a, e, k).tolist() == [k / 1000] * 3


@pytest.mark.parametrize("k", [1, 5, 20])
def test_e2_an_oracle_gets_everything(k: int) -> None:
    scores = torch.rand(7, 1000, generator=torch.Generator().manual_seed(0))
    scores[:, 0] += 1  # it knows the positive, the first candidate
    above, equal = ((scores[:, 1:] > scores[:, :1]).sum(1), (scores[:, 1:] == scores[:, :1]).sum(1))
    assert recall(above, equal, k).tolist() == ndcg(above, equal, k).tolist() == [1.0] * 7


def test_wrong_input_is_refused() -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match="K is 0"):
        recall(one, one, 0)
    with pytest.raises(ValueError, match="NaN"):
        ndcg(torch.tensor([float("nan")]), one, 5)
    with pytest.raises(ValueError, match="negative"):
        recall(-one, one, 5)
    with pytest.raises(ValueError, match="shape"):
        recall(one, torch.ones(2), 5)
