"""ItemKNN by hand on five rows, and on a checkerboard whose right answer is obvious."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.rank import Ranker, from_weights
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.pair_scores import pair_scores_of
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies import item_knn as module
from nightloop.tasks.strategies.item_knn import NEVER, ItemKNN

MODEL = MF(width=2, biases=True)


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


def ranker(strategy: ItemKNN, logs: Logs) -> Ranker:
    return from_weights(MODEL.factors, strategy.start(MODEL, {}, logs).weights)


def test_scores_by_hand() -> None:
    logs = made([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)], [0, 0, 1, 1, 1], users=4, items=3)
    strategy = ItemKNN(half_life=1.0, memory=1.0, shrinkage=5.0, weight=3.0)
    scores = ranker(strategy, logs)(torch.tensor([2, 0, 3, 99]), torch.tensor([0, 1, 2, 50]))
    # the weight halves every period and falls row by row within one
    count = [0.5 ** (1 + 1 / 2) + 0.5 ** (2 / 3) + 1, 0.5**1 + 0.5 ** (1 / 3), 0, 0]
    popular = [log(1 + c / NEVER) for c in count]
    # columns of w: item 0 (.5, 1, 1), item 1 (.5, 1, 0)
    alike = 1.25 / (sqrt(2.25) * sqrt(1.25) + 5)
    assert scores[0].tolist() == pytest.approx([popular[0], popular[1] + 3 * alike, 0, 0], rel=1e-5)
    for row in (1, 2, 3):  # user 0 took both, user 3 nothing, the last one is unknown
        assert scores[row].tolist() == pytest.approx(popular, rel=1e-5)
    again = replace(logs, ranking=Ranking(repeats=True))
    both = ranker(strategy, again)(torch.tensor([0]), torch.tensor([0, 1]))[0]
    assert both.tolist() == pytest.approx([popular[0] + 1.5 * alike, popular[1] + 1.5 * alike], rel=1e-5)


def test_checkerboard() -> None:
    """Even users take even items; each is shown first what is left of the same colour."""
    rows = [(u, i) for u in range(20) for i in range(10) if u % 2 == i % 2 and (u + i) % 7]
    scores = ranker(ItemKNN(), made(rows, [0] * len(rows), 20, 10))(torch.arange(20), torch.arange(10))
    for u in range(20):
        left = [i for i in range(u % 2, 10, 2) if (u, i) not in rows]
        assert all(scores[u, i] > max(scores[u, 1 - u % 2 :: 2]) for i in left)


def test_the_best_items_of_each_user_are_kept_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = simulated_periods("ranking")[-1]
    whole, best = (pair_scores_of(ItemKNN(top=top).start(MODEL, {}, logs).weights) for top in (200, 3))
    assert whole is not None and best is not None
    for user in range(logs.sizes[0]):
        all_of, own = (slice(*pairs.start[user : user + 2].tolist()) for pairs in (whole, best))
        expected = whole.value[all_of].sort(descending=True).values[:3]
        assert best.value[own].sort(descending=True).values.tolist() == expected.tolist()
    monkeypatch.setattr(module, "CELLS", 50)
    parts = pair_scores_of(ItemKNN(top=3).start(MODEL, {}, logs).weights)
    assert parts is not None and all(
        torch.equal(a, b) for a, b in zip(vars(parts).values(), vars(best).values(), strict=True)
    )


def test_no_history_scores_everything_the_same() -> None:
    scores = ranker(ItemKNN(), made([], [], 0, 0))(torch.tensor([0, 4]), torch.tensor([0, 7, 9]))
    assert len(scores.unique()) == 1
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("options", [{"half_life": 0.0}, {"memory": -1.0}, {"weight": float("nan")}, {"top": 0}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).split("_")[0]):
        ItemKNN(**options)  # type: ignore[arg-type]
