"""ItemKNN by hand on five rows, and on a checkerboard whose right answer is obvious."""

from __future__ import annotations

from math import log, sqrt

import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.item_knn import NEVER, ItemKNN


def made(rows: list[tuple[int, int]], periods: list[int], users: int, items: int) -> Logs:
    n = len(rows)
    born = (torch.zeros(users, dtype=torch.int32), torch.zeros(items, dtype=torch.int32))
    period = torch.tensor(periods, dtype=torch.int32)
    where = torch.tensor(rows, dtype=torch.int64).reshape(n, 2)
    ones, times = torch.ones(n), torch.arange(n)
    return Logs(
        max(periods, default=0),
        period,
        ("user", "item"),
        where,
        torch.zeros(n, 0),
        ones,
        times,
        (users, items),
        born,
        0,
    )


def test_scores_by_hand() -> None:
    logs = made([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)], [0, 0, 1, 1, 1], users=4, items=3)
    model = ItemKNN(half_life=2, memory=1.0, shrinkage=5.0, weight=3.0)
    scores = model.fit(logs)(torch.tensor([2, 3, 99]), torch.tensor([0, 1, 2, 50]))
    count = [0.5 ** (4 / 2) + 0.5 ** (2 / 2) + 1, 0.5 ** (3 / 2) + 0.5 ** (1 / 2), 0, 0]
    popular = [log(c + NEVER) for c in count]
    # columns of w: item 0 (.5, 1, 1), item 1 (.5, 1, 0)
    alike = 1.25 / (sqrt(2.25) * sqrt(1.25) + 5)
    assert scores[0].tolist() == pytest.approx([popular[0], popular[1] + 3 * alike, popular[2], popular[3]], rel=1e-5)
    for stranger in (1, 2):
        assert scores[stranger].tolist() == pytest.approx(popular, rel=1e-5)


def test_checkerboard() -> None:
    """Even users take even items; each is shown first what is left of his own colour."""
    rows = [(u, i) for u in range(20) for i in range(10) if u % 2 == i % 2 and (u + i) % 7]
    ranker = ItemKNN().fit(made(rows, [0] * len(rows), 20, 10))
    scores = ranker(torch.arange(20), torch.arange(10))
    for u in range(20):
        assert min(scores[u, u % 2 :: 2]) > max(scores[u, 1 - u % 2 :: 2])


def test_no_history_scores_everything_the_same() -> None:
    scores = ItemKNN().fit(made([], [], 0, 0))(torch.tensor([0, 4]), torch.tensor([0, 7, 9]))
    assert len(scores.unique()) == 1
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("options", [{"half_life": 0.0}, {"memory": -1.0}, {"weight": float("nan")}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).split("_")[0]):
        ItemKNN(**options)
