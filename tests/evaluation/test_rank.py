"""Ranking: exact candidates by brute force, exact ties, and no favour to any scorer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation import candidates as module
from nightloop.tasks.evaluation.candidates import (
    Candidates,
    UniformSampler,
    item_users,
    items_seen,
    sample_candidates,
)
from nightloop.tasks.evaluation.popular_candidates import PopularitySampler, sample_popular
from nightloop.tasks.evaluation.rank import from_factors, from_weights, rank
from nightloop.tasks.models.mf import MF
from nightloop.tasks.plan.plan import Ranking


def made(rows: list[tuple[int, int]], users: int, items: int, old_items: int, seed: int = 0) -> Logs:
    """Logs of period 3 over a vocabulary whose first `old_items` items were born earlier, the others in period 3."""
    n = len(rows)
    born = torch.tensor([0] * old_items + [3] * (items - old_items), dtype=torch.int32)
    return Logs(
        period=3,
        periods=torch.full((n,), 3, dtype=torch.int32),
        fields=("user", "item"),
        rows=torch.tensor(rows, dtype=torch.int64).reshape(n, 2),
        numeric=torch.zeros(n, 0),
        label=torch.ones(n),
        time=torch.arange(n),
        sizes=(users, items),
        born=(torch.zeros(users, dtype=torch.int32), born),
        seed=seed,
    )


def world(seed: int = 0, n: int = 400, users: int = 12, items: int = 60, old: int = 40) -> tuple[Logs, Tensor]:
    """A night in which new items appear in order of first sight, and what users took before."""
    g = torch.Generator().manual_seed(seed)
    rows, newest = [], old
    for i in range(n):
        if newest < items and i % 15 == 7:
            item, newest = newest, newest + 1
        else:
            item = int(torch.randint(newest, (1,), generator=g))
        rows.append((int(torch.randint(users, (1,), generator=g)), item))
    taken = torch.stack([torch.randint(users, (50,), generator=g), torch.randint(old, (50,), generator=g)], 1)
    return made(rows, users, items, old, seed), taken


def valid(logs: Logs, taken: Tensor) -> list[set[int]]:
    """By the definition, row by row: items seen so far that the user has not taken up to and including the row."""
    had: dict[int, set[int]] = {}
    for u, i in taken.tolist():
        had.setdefault(u, set()).add(i)
    found, known = [], {i for i in range(logs.sizes[1]) if int(logs.born[1][i]) < 3}
    for u, i in logs.rows.tolist():
        known.add(i)
        had.setdefault(u, set()).add(i)
        found.append(known - had[u])
    return found


def test_every_valid_item_is_used_where_there_are_too_few() -> None:
    logs, taken = world()
    scores = torch.randn(12, 60, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # with ties
    out = rank(lambda u, i: scores[u][:, i], sample_candidates(logs, taken, Ranking(catalogue=True)))
    for r, ((u, i), others) in enumerate(zip(logs.rows.tolist(), valid(logs, taken), strict=True)):
        row = scores[u]
        above, equal = sum(bool(row[j] > row[i]) for j in others), sum(bool(row[j] == row[i]) for j in others)
        assert (int(out["above"][r]), int(out["equal"][r])) == (above, equal)
        assert (int(out["catalogue_above"][r]), int(out["catalogue_equal"][r])) == (above, equal)


def drawn(logs: Logs, taken: Tensor, negatives: int) -> list[list[int]]:
    """Which items each row was ranked against, told by scorers that like a single item each."""
    found: list[list[int]] = [[] for _ in range(len(logs))]
    for item in range(logs.sizes[1]):
        likes = lambda u, i, liked=item: (i == liked).float().expand(len(u), -1)  # noqa: E731
        out = rank(likes, sample_candidates(logs, taken, Ranking(negatives=negatives)))
        for r in (out["above"] == 1).nonzero().flatten().tolist():
            found[r].append(item)
        assert int(out["above"].max()) <= 1  # distinct
    return found


@pytest.mark.parametrize("negatives", [1, 7, 20])
def test_candidates_are_valid_distinct_and_as_many_as_asked(negatives: int) -> None:
    logs, taken = world(2, n=150)
    for mine, allowed in zip(drawn(logs, taken, negatives), valid(logs, taken), strict=True):
        assert set(mine) <= allowed
        assert len(mine) == min(negatives, len(allowed))


def test_a_pool_too_small_for_a_heavy_user_is_extended() -> None:
    items = 4000
    rows = [(0, 5), (1, 6)]
    logs = made(rows, 2, items, items)
    taken = torch.stack([torch.zeros(3900, dtype=torch.int64), torch.arange(3900)], 1)  # user 0 took nearly all
    dealt = sample_candidates(logs, taken, Ranking(negatives=90))
    assert len(dealt.sampled[0].pool) > 200
    out = rank(lambda users, ids: torch.ones(len(users), len(ids)), dealt)
    assert out["equal"].tolist() == [90, 90]


@pytest.mark.parametrize("sample", [sample_candidates, sample_popular])
def test_what_people_take_again_is_ranked_again(sample: Callable[..., Candidates]) -> None:
    """With `repeats` a row is ranked against every item seen so far but its own; the metrics count the same items."""
    logs, taken = world(3)
    scores = torch.rand(12, 60, generator=torch.Generator().manual_seed(2))
    out = rank(lambda u, i: scores[u][:, i], sample(logs, taken, Ranking(negatives=1000, catalogue=True, repeats=True)))
    seen = items_seen(logs).tolist()
    for row, (user, item) in enumerate(logs.rows.tolist()):
        others = [other for other in range(seen[row]) if other != item]
        above = sum(float(scores[user, other]) > float(scores[user, item]) for other in others)
        assert above == int(out["catalogue_above"][row]) == int(out["above"][row])


def test_candidates_are_uniform() -> None:
    """Chi-square over 240 nights: row by row every valid item is as likely as another."""
    rows = [(0, 3), (1, 12), (0, 13), (0, 5)]
    taken = torch.tensor([[0, 0], [0, 1], [1, 4]])
    nights, negatives = 240, 4
    hits = torch.zeros(len(rows), 14)
    for seed in range(nights):
        for r, mine in enumerate(drawn(made(rows, 2, 14, 12, seed), taken, negatives)):
            hits[r, mine] += 1
    for r, allowed in enumerate(valid(made(rows, 2, 14, 12), taken)):
        index = torch.tensor(sorted(allowed))
        p = negatives / len(index)
        # without replacement a night's indicators are exchangeable with variance p (1 - p): the sum below is chi-square
        statistic = float(((hits[r, index] - nights * p) ** 2 / (nights * p * (1 - p))).sum()) * (1 - 1 / len(index))
        freedom = len(index) - 1
        assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5
        assert float(hits[r].sum()) == nights * negatives


def test_a_constant_scorer_gets_k_of_a_thousand_and_an_oracle_gets_all() -> None:
    from nightloop.tasks.evaluation.summary import summarize_metrics

    logs = made([(u % 50, (u * 37) % 3000) for u in range(300)], 50, 3000, 3000)
    nothing = torch.zeros(0, 2, dtype=torch.int64)
    constant = summarize_metrics(
        rank(from_factors(torch.ones(50, 4), torch.ones(3000, 4)), sample_candidates(logs, nothing, Ranking())),
        "ranking",
    )
    assert [constant[f"recall@{k}"] for k in (5, 10, 20)] == pytest.approx([0.005, 0.01, 0.02], abs=1e-12)
    truth = {(u, i) for u, i in logs.rows.tolist()}

    def oracle(users: Tensor, items: Tensor) -> Tensor:
        return torch.tensor([[float((u, i) in truth) for i in items.tolist()] for u in users.tolist()])

    few = logs.select(torch.arange(20))
    best = summarize_metrics(rank(oracle, sample_candidates(few, logs.rows, Ranking())), "ranking")
    assert best["recall@5"] == best["ndcg@5"] == 1.0


def test_equal_factors_tie_exactly_wherever_they_stand() -> None:
    g = torch.Generator().manual_seed(3)
    users = torch.randn(40, 64, generator=g)
    items = torch.randn(1, 64, generator=g).expand(5000, 64).contiguous()
    logs = made([(int(u), int(i)) for u, i in torch.randint(0, 40, (333, 2), generator=g)], 40, 5000, 5000)
    out = rank(from_factors(users, items), sample_candidates(logs, torch.zeros(0, 2, dtype=torch.int64), Ranking()))
    assert bool((out["equal"] == 999).all())


def test_the_draw_is_the_same_for_every_ranker_and_every_run() -> None:
    logs, taken = world(5)
    asked: list[list[Tensor]] = []
    for sign in (1.0, -1.0):
        pools: list[Tensor] = []
        asked.append(pools)

        def ranker(u: Tensor, i: Tensor, s: float = sign, p: list[Tensor] = pools) -> Tensor:
            p.append(i)
            return s * (u[:, None] * i).float()

        rank(ranker, sample_candidates(logs, taken, Ranking(negatives=9)))
    assert all(torch.equal(a, b) for a, b in zip(*asked, strict=True))
    again = [
        rank(from_factors(torch.ones(12, 2), torch.ones(60, 2)), sample_candidates(logs, taken, Ranking()))
        for _ in range(2)
    ]
    assert all(torch.equal(again[0][k], again[1][k]) for k in again[0])


def test_blocks_and_chunks_change_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    logs, taken = world(6)
    ranker = from_factors(torch.randn(12, 4), torch.randn(60, 4))
    whole = rank(ranker, sample_candidates(logs, taken, Ranking(catalogue=True)))
    monkeypatch.setattr(module, "BLOCK", 7)
    monkeypatch.setattr(module, "POOLS", 1)
    monkeypatch.setattr(module, "CHUNK", 11)
    parts = rank(ranker, sample_candidates(logs, taken, Ranking(catalogue=True)))
    assert all(torch.equal(whole[k], parts[k]) for k in whole if k != "pool")


def test_a_sample_of_rows_is_ranked_against_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole blocks, spread over the period; their counts are those of a ranking of every row, the others' are -1."""
    logs, taken = world(6)
    ranker = from_factors(torch.randn(12, 4), torch.randn(60, 4))
    monkeypatch.setattr(module, "POOLS", 1)
    monkeypatch.setattr(module, "BLOCK", 8)
    seen = int(items_seen(logs)[-1])
    blocks = -(-len(logs) // 8)
    whole = rank(ranker, sample_candidates(logs, taken, Ranking(catalogue=True)))
    for allowed in (1, 3, blocks):
        monkeypatch.setattr(module, "SCORES", 8 * seen * allowed)
        found = rank(ranker, sample_candidates(logs, taken, Ranking()))
        ranked = found["catalogue_above"] >= 0
        firsts = ranked[::8].nonzero().flatten().tolist()
        assert firsts == [place * blocks // allowed for place in range(allowed)]
        for name in ("catalogue_above", "catalogue_equal"):
            assert torch.equal(found[name][ranked], whole[name][ranked]) and (found[name][~ranked] == -1).all()
        assert torch.equal(found["above"], whole["above"]), "the sampled ranking does not depend on it"
    assert bool(ranked.all())
    assert "catalogue_above" not in rank(ranker, sample_candidates(logs, taken, Ranking(catalogue=False)))


def test_an_unseen_user_is_the_mean_user_and_an_unseen_item_scores_nothing() -> None:
    ranker = from_factors(torch.tensor([[1.0, 1.0], [3.0, 0.0]]), torch.full((4, 2), 2.0))
    assert ranker(torch.tensor([1, 9]), torch.tensor([0, 77])).tolist() == [[6.0, 0.0], [5.0, 0.0]]
    assert from_factors(torch.ones(0, 2), torch.ones(1, 2))(torch.tensor([0]), torch.tensor([0])).tolist() == [[0.0]]
    logs = made([(5, 50), (0, 1)], 6, 51, 50)
    out = rank(ranker, sample_candidates(logs, torch.zeros(0, 2, dtype=torch.int64), Ranking(negatives=10)))
    assert int(out["equal"][0]) == 10


def test_unseen_users_still_get_what_is_liked_by_all() -> None:
    model = MF(width=2, biases=True)
    weights = {"table.user": torch.tensor([[1.0, 0.0, 0.5]]), "table.item": torch.tensor([[2.0, 0.0, 3.0]])}
    scores = from_weights(model.factors, weights)(torch.tensor([0, 8]), torch.tensor([0, 9]))
    assert scores.tolist() == [[5.5, 0.5], [5.5, 0.5]]


def test_new_means_born_in_this_period() -> None:
    logs, taken = world(7)
    out = rank(from_factors(torch.ones(12, 2), torch.ones(60, 2)), sample_candidates(logs, taken, Ranking(negatives=3)))
    assert torch.equal(out["new_item"], logs.rows[:, 1] >= 40)
    assert not bool(out["new_user"].any())


def test_no_rows_one_row_and_wrong_input() -> None:
    nothing = torch.zeros(0, 2, dtype=torch.int64)
    ranker = from_factors(torch.ones(1, 2), torch.ones(1, 2))
    assert all(len(v) == 0 for v in rank(ranker, sample_candidates(made([], 1, 1, 1), nothing, Ranking())).values())
    only = rank(ranker, sample_candidates(made([(0, 0)], 1, 1, 0), nothing, Ranking(catalogue=True)))
    assert [int(only[k]) for k in ("above", "equal", "catalogue_above")] == [0, 0, 0]
    with pytest.raises(ValueError, match="NaN"):
        rank(
            lambda u, i: torch.full((len(u), len(i)), float("nan")),
            sample_candidates(made([(0, 0)], 1, 1, 0), nothing, Ranking()),
        )
    with pytest.raises(ValueError, match="NaN"):
        from_factors(torch.tensor([[float("nan")]]), torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        from_factors(torch.ones(1, 2), torch.ones(1, 3))
    with pytest.raises(ValueError, match="1 items known"):
        rank(ranker, sample_candidates(made([(0, 0)], 1, 1, 0), torch.tensor([[0, 4]]), Ranking()))


def test_infinite_scores_are_an_order_like_any_other() -> None:
    logs = made([(0, 0)], 1, 4, 4)
    scores = torch.tensor([[0.0, float("inf"), float("-inf"), 1.0]])
    out = rank(lambda u, i: scores[u][:, i], sample_candidates(logs, torch.zeros(0, 2, dtype=torch.int64), Ranking()))
    assert (int(out["above"][0]), int(out["equal"][0])) == (2, 0)


def test_a_deck_deals_distinct_items_and_every_one_before_any_comes_again() -> None:
    deck, nothing = UniformSampler(1000, torch.Generator().manual_seed(0)), torch.zeros(0, dtype=torch.int64)
    hands = [deck.sample(nothing, 250) for _ in range(4)]
    assert sorted(torch.cat(hands).tolist()) == list(range(1000))
    deck.sample(nothing, 900)
    over = deck.sample(nothing, 300)  # the end of one round and the beginning of the next
    longer = deck.sample(over, 1000)
    assert len(over.unique()) == 300
    assert torch.equal(longer[:300], over)
    assert sorted(longer.tolist()) == list(range(1000))


def test_seen_and_takers_by_hand() -> None:
    logs = made([(0, 1), (1, 2), (0, 0), (1, 3)], 2, 4, 2)
    assert items_seen(logs).tolist() == [2, 3, 3, 4]
    who = item_users(logs, torch.tensor([[1, 0]]))
    place, entry = who.of(torch.tensor([0, 3]), torch.tensor([0, 1]))
    found = zip(place.tolist(), who.user[entry].tolist(), who.when[entry].tolist(), strict=True)
    assert sorted(found) == [(0, 0, 2), (0, 1, -1), (1, 1, 3)]
    assert who.of(torch.tensor([3]), torch.tensor([0]))[0].tolist() == []


def digest(dealt: Candidates) -> str:
    """A name for every tensor of every hand."""
    found = hashlib.sha256()
    for hand in dealt.sampled:
        for part in (hand.pool, hand.cut, hand.row, hand.place):
            found.update(part.numpy().tobytes())
    return found.hexdigest()[:16]


def test_the_uniform_draw_is_what_it_always_was() -> None:
    """Scores of nights that are recorded would not come out again were it another."""
    logs, taken = world(3)
    assert digest(sample_candidates(logs, taken, Ranking(negatives=7))) == "261d6aa5f40c3b2f"


def test_popular_candidates_are_valid_distinct_and_as_many_as_asked() -> None:
    logs, taken = world(2, n=150)
    for negatives in (1, 7, 20):
        out = rank(lambda u, i: torch.ones(len(u), len(i)), sample_popular(logs, taken, Ranking(negatives=negatives)))
        for count, allowed in zip(out["equal"].tolist(), valid(logs, taken), strict=True):
            assert count == min(negatives, len(allowed))
    scores = torch.randn(12, 60, generator=torch.Generator().manual_seed(1))
    one, two = (
        rank(lambda u, i: scores[u][:, i], dealt(logs, taken, Ranking()))
        for dealt in (sample_candidates, sample_popular)
    )
    assert torch.equal(one["above"], two["above"]), "where all are used it does not matter how they are drawn"


def test_a_race_draws_in_proportion_to_weights() -> None:
    """First places of 6,000 races, against the weights; who weighs nothing comes last."""
    weights = torch.tensor([6.0, 3.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    race = PopularitySampler(weights, torch.Generator().manual_seed(0))
    nothing = torch.zeros(0, dtype=torch.int64)
    orders = torch.stack([race.sample(nothing, 5) for _ in range(6000)])
    assert torch.equal(orders.sort(1).values, torch.arange(5).expand(6000, 5))
    first = torch.bincount(orders[:, 0], minlength=5) / 6000
    assert torch.allclose(first.double(), weights / 10, atol=0.02)
    second = torch.bincount(orders[orders[:, 0] == 0, 1], minlength=5).double()
    assert torch.allclose(second / second.sum(), torch.tensor([0, 0.75, 0.25, 0, 0]).double(), atol=0.03)
    assert set(orders[:, 3:].flatten().tolist()) == {3, 4}
    order = race.sample(nothing, 2)
    assert torch.equal(race.sample(order, 4)[:2], order), "further on in the same order"


def test_against_popular_candidates_popularity_is_of_no_use() -> None:
    """Against one item drawn as positives are, knowing what is popular is right half of the time."""
    g = torch.Generator().manual_seed(0)
    users, items, n = 5000, 400, 4000
    liked = torch.arange(1, items + 1).double() ** -0.5
    taken, now = (
        torch.stack([torch.randint(users, (m,), generator=g), torch.multinomial(liked, m, True, generator=g)], 1)
        for m in (20_000, n)
    )
    logs = made([(u, i) for u, i in now.tolist()], users, items, items)
    popular = torch.bincount(taken[:, 1], minlength=items).float()
    uniform, weighted = (
        rank(lambda u, i: popular[i].expand(len(u), -1), dealt(logs, taken, Ranking(negatives=1)))
        for dealt in (sample_candidates, sample_popular)
    )
    right = [float((1 - f["above"] - f["equal"] / 2).mean()) for f in (uniform, weighted)]
    assert right[0] > 0.65 and abs(right[1] - 0.5) < 0.05, right
