"""Pair scores: by a dense table, whatever is asked; what is not whole is refused; what is ranked is what is served."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.evaluation.rank import from_weights, mean_user_ranker
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, from_bytes, to_bytes
from nightloop.tasks.modules.pair_scores import UNKNOWN, PairScores, pair_scores_of
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.serving.load import build_model
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow
from tests.serving import make_store as made

G = torch.Generator().manual_seed(3)
USERS, ITEMS = made.USERS, made.ITEMS
DENSE = torch.randn(USERS, ITEMS, generator=G) * (torch.rand(USERS, ITEMS, generator=G) < 0.3)
DENSE[4] = 0


def sparse(dense: torch.Tensor) -> PairScores:
    user, item = dense.nonzero(as_tuple=True)
    start = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(user, minlength=len(dense)).cumsum(0)])
    return PairScores(start, item.int(), dense[user, item])


def test_all_ways_to_read_them_are_the_dense_table() -> None:
    pairs, padded = sparse(DENSE), torch.zeros(USERS + 5, ITEMS + 5)
    padded[:USERS, :ITEMS] = DENSE
    users, items = torch.tensor([3, 3, 14, 0, 4, 11]), torch.tensor([7, 31, 0, 7, 29, 2, 2])
    assert torch.equal(pairs.at(users, items), padded[users][:, items])
    assert torch.equal(pairs.of_pairs(users, items[:6]), padded[users, items[:6]])
    for user in (0, 4, 11, 14):
        assert torch.equal(pairs.add_to(torch.ones(ITEMS), user), 1 + padded[user, :ITEMS])
    assert pairs.at(users, items[:0]).shape == (6, 0) and not pairs.at(users[:0], items).numel()


def test_a_request_of_many_items_reads_its_users_entries_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item of a request read them again: 3.6 GB and 9 seconds for 10,000 items and a user with as many entries."""
    read, entries = [], PairScores.entries
    monkeypatch.setattr(PairScores, "entries", lambda pairs, users: read.append(len(users)) or entries(pairs, users))
    items = torch.arange(-1, ITEMS + 3).repeat(300)
    users = torch.full_like(items, 3)
    expected = torch.cat([torch.zeros(1), DENSE[3], torch.zeros(3)]).repeat(300)
    assert torch.equal(sparse(DENSE).of_pairs(users, items), expected) and read == [1]


@pytest.mark.parametrize("biases", [False, True])
def test_what_is_evaluated_is_what_is_served(biases: bool) -> None:
    """Wider tables than the model's, pair scores, and an unknown user's own row, through a checkpoint's bytes."""
    plan = made.ranking_plan(biases)
    model, wide = MF(width=made.WIDTH, biases=biases), made.WIDTH + 7
    tables = {"table.user": torch.randn(USERS, wide, generator=G), "table.item": torch.randn(ITEMS, wide, generator=G)}
    weights = from_bytes(to_bytes({**tables, **sparse(DENSE).tensors(), UNKNOWN: torch.randn(1, wide, generator=G)}))
    names = {
        f: pa.array([f"{f[0]}{n}" for n in range(s)], pa.large_string()) for f, s in (("user", USERS), ("item", ITEMS))
    }
    served = build_model(plan, weights, Vocabulary(names, {}))
    ranker = from_weights(model.factors, weights)
    scores = ranker(torch.arange(USERS + 1), torch.arange(ITEMS + 1))
    for user in range(USERS + 1):
        asked = [f"u{user}"] * ITEMS, [f"i{n}" for n in range(ITEMS)]
        assert served.score(*asked, {}) == pytest.approx(scores[user, :-1].tolist(), abs=1e-5)
        best = dict(served.recommend(f"u{user}", ITEMS, (), {}))
        assert [best[i] for i in asked[1]] == pytest.approx(scores[user, :-1].tolist(), abs=1e-5)
    assert torch.equal(
        mean_user_ranker(model.factors, weights)(torch.tensor([3]), torch.arange(ITEMS))[0], scores[-1, :-1]
    )
    logs = simulated_periods("ranking")[0]
    expected = ranker(logs.rows[:, 0], logs.rows[:, 1]).diagonal()
    assert torch.allclose(predict(model, weights, logs), expected, atol=1e-5)


def test_weights_grow_with_the_vocabulary() -> None:
    before, after = simulated_periods("ranking", count=2)
    model, wide = MF(width=3), 9
    weights = {"table.user": torch.ones(12, wide), "table.item": torch.ones(before.sizes[1], wide)}
    made_before = Checkpoint(
        0, {**weights, **sparse(DENSE).tensors()}, {"candidates/0/weights/table.user": weights["table.user"]}
    )
    grown = grow(model, made_before, after)
    for table in (grown.weights["table.user"], grown.memory["candidates/0/weights/table.user"]):
        assert table.shape == (after.sizes[0], wide) and not table[12:].any() and bool((table[:12] == 1).all())
    assert torch.equal(grown.weights["pairs.start"], made_before.weights["pairs.start"])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"pairs.item": None}, "not pairs.item"),
        ({"pairs.value": torch.ones(2)}, "do not fit each other"),
        ({"pairs.start": torch.tensor([0, 2, 1])}, "do not fit each other"),
        ({"pairs.start": torch.zeros(0, dtype=torch.int64)}, "do not fit each other"),
        ({"pairs.value": torch.tensor([torch.nan])}, "NaN or infinity"),
    ],
)
def test_what_is_not_whole_is_refused(broken: dict[str, torch.Tensor | None], said: str) -> None:
    whole = PairScores(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), torch.ones(1)).tensors()
    with pytest.raises(ValueError, match=said):
        pair_scores_of({name: tensor for name, tensor in {**whole, **broken}.items() if tensor is not None})
    assert pair_scores_of({}) is None
