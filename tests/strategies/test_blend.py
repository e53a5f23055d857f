"""Blend: the sum by hand, weights from members as they were, the floor, a member that fails, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.rank import from_weights
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, unpack
from nightloop.tasks.modules.pair_scores import UNKNOWN, PairScores
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.blend_weights import Listing, fit_blend_weights
from nightloop.tasks.retraining.conditional_logit import Choices, fit_conditional_logit
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.member_scores import (
    RIVALS,
    activity_buckets,
    choice_sets,
    compose,
    member_of,
)
from nightloop.tasks.retraining.prequential_loss import night_candidates, weights_at_close
from nightloop.tasks.strategies.blend import Blend
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.item_knn import ItemKNN
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.strategies.repeat import Repeat
from tests.strategies.low_items import low_items

MODEL = MF(width=3, biases=True)
FINE = FineTune(TrainConfig(epochs=2, batch_size=16))
MEMBERS = (FINE, Popularity(), ItemKNN())
NO_PAIRS = np.full(2, False)


@dataclass(frozen=True)
class Says:
    """A member whose item biases are a sign times the item's row: low items first if it is negative. Fails if told to."""

    sign: float
    fails: tuple[int, ...] = ()
    lookback: int = 1

    def start(self, model: MF, weights: object, logs: Logs) -> Checkpoint:
        tables = [torch.zeros(size, model.width) for size in logs.sizes]
        tables[1][:, -1] = self.sign * torch.arange(logs.sizes[1])
        return Checkpoint(logs.period, {"table.user": tables[0], "table.item": tables[1]})

    def update(self, model: MF, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        if logs.period in self.fails:
            raise DataError(f"period {logs.period} cannot be learned from")
        return self.start(model, {}, logs)


@pytest.mark.parametrize("biases", [False, True])
def test_the_sum_is_served_column_by_column(biases: bool) -> None:
    """Of every user's bucket, of an unknown user and of an unknown item, with two members that have pair scores."""
    model, logs = MF(width=3, biases=biases), simulated_periods("ranking")[-1]
    strategies = (FINE, Popularity(), ItemKNN(), Repeat())
    weights = [run_chain(model, one, simulated_periods("ranking"))[-1].weights for one in strategies]
    members = [member_of(model, one) for one in weights]
    generator = torch.Generator().manual_seed(1)
    coefficients = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    users, items = torch.arange(logs.sizes[0] + 1), torch.arange(logs.sizes[1] + 1)
    bucket = activity_buckets(logs, logs.period)
    bucket[:4] = torch.tensor([0, 1, 2, 1])
    served = compose(model, members, coefficients, bucket)
    columns = [column(users, items) for member in members for column in member.columns]
    columns = [column - column[:, -1:] for column in columns]  # less that of an unknown item: the order stays
    assert len(columns) == 6
    expected = sum(coefficients[bucket, k, None] * column for k, column in enumerate(columns))
    assert torch.allclose(from_weights(model.factors, served)(users, items), expected.float(), atol=1e-4)
    assert served["table.user"].shape[1] < 20, "columns of zeros are not kept"


def test_buckets_count_takings_until_the_close() -> None:
    logs = simulated_periods("ranking")[-1]
    for close in (2, 4):
        bucket = activity_buckets(logs, close)
        assert len(bucket) == logs.sizes[0] + 1 and int(bucket[-1]) == 0
        for user in range(logs.sizes[0]):
            takings = int(((logs.rows[:, 0] == user) & (logs.periods <= close)).sum())
            assert int(bucket[user]) == (0 if takings == 0 else 1 if takings < 5 else 2)


@pytest.mark.parametrize("repeats", [False, True])
def test_choice_sets_hold_what_the_row_took_and_what_it_is_ranked_against(repeats: bool) -> None:
    """The score is the item's row, so that it says which item stands where."""
    logs = replace(simulated_periods("ranking", rows=200)[-1], ranking=Ranking(negatives=8, repeats=repeats))
    member = member_of(MODEL, Says(1.0).start(MODEL, {}, logs).weights)
    sets = choice_sets([member], night_candidates(logs), activity_buckets(logs, 3))
    newest = logs.since(4)
    assert sets.scores.shape == (200, 1 + RIVALS, 1) and torch.equal(sets.scores[:, 0, 0], newest.rows[:, 1].float())
    for row, (user, item) in enumerate(newest.rows.tolist()):
        rivals = sets.scores[row, 1 : 1 + int(sets.count[row]), 0].tolist()
        before = logs.rows[: len(logs) - 200 + row + 1]
        taken = {item} if repeats else set(before[before[:, 0] == user][:, 1].tolist())
        assert len(set(rivals)) == len(rivals) <= 8 and not taken & {int(one) for one in rivals}
        assert len(rivals) == 8 or not repeats


def test_conditional_logit_against_a_search() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(80, 6, 2))
    features[:, 0, 0] += 0.7
    count = random.integers(2, 6, size=80)
    choices, center = Choices(features, count), np.array([0.2, 0.4])

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for row, many in zip(features, count, strict=True):
            logits = row[: many + 1] @ weights
            total += np.log(np.exp(logits).sum()) - logits[0]
        return total + 1.5 * float(((weights - center) ** 2).sum())

    found = fit_conditional_logit(choices, center, 3.0, np.array([True, True]))
    grid = [np.array([a, b]) for a in np.arange(0, 1.5, 0.02) for b in np.arange(0, 1.5, 0.02)]
    assert np.abs(found - min(grid, key=loss)).max() <= 0.02 and loss(found) <= min(map(loss, grid)) + 1e-6
    assert fit_conditional_logit(choices, center, 3.0, np.array([False, True]))[0] == 0
    turned = Choices(features * np.array([-1.0, 1.0]), count)
    assert fit_conditional_logit(turned, np.zeros(2), 3.0, np.array([True, True]))[0] == 0, "never below 0"
    scales = [row[1 : many + 1].var(0) for row, many in zip(features, count, strict=True)]
    assert choices.scales() == pytest.approx(np.sqrt(np.mean(scales, 0)))


def test_a_list_is_measured_as_if_all_candidates_were_there() -> None:
    """Two candidates of eight, of which one is above: so are four of eight. A row with one candidate has no others."""
    features = np.array([[[2.0], [3.0], [1.0]], [[2.0], [3.0], [9.0]]])
    choices = Choices(features, np.array([2, 1]))
    assert Listing("recall@4", 8).mean(choices, np.ones(1)) == pytest.approx((0 + 1) / 2)
    assert Listing("recall@5", 8).mean(choices, np.ones(1)) == 1
    assert Listing("ndcg@5", 8).mean(choices, np.ones(1)) == pytest.approx((1 / np.log2(6) + 1 / np.log2(3)) / 2)
    assert Listing("recall@4", 8).mean(choices, np.array([[-1.0], [1.0]])) == pytest.approx((0 + 1) / 2)


def test_a_column_that_the_metric_does_not_need_is_left_out() -> None:
    """The second column makes what is far down the list likelier, and the head of the list no better."""
    random = np.random.default_rng(3)
    features = random.normal(size=(400, 21, 2))
    features[:200, 0, 0] += 4
    features[200:, 0, 1] += 1
    features[:200, 0, 1] -= 1
    choices, free, bucket = Choices(features, np.full(400, 20)), np.array([True, True]), np.arange(400) % 2
    assert fit_conditional_logit(choices, np.zeros(2), 1.0, free)[1] >= 0
    found = fit_blend_weights(choices, bucket, 2, 100.0, free, NO_PAIRS, Listing("ndcg@1", 20))
    alone = fit_conditional_logit(choices, np.zeros(2), 1.0, np.array([True, False]))
    assert Listing("ndcg@1", 20).mean(choices, found[bucket]) >= Listing("ndcg@1", 20).mean(choices, alone)
    assert (
        fit_blend_weights(choices, bucket, 2, 100.0, np.array([False, True]), NO_PAIRS, Listing("ndcg@1", 20))[
            :, 0
        ].sum()
        == 0
    )


def test_users_without_a_history_are_ranked_where_pair_scores_alone_are_best_for_all_others() -> None:
    """The second column decides every row of the others, and is 0 for users without a history."""
    random = np.random.default_rng(4)
    features = random.normal(size=(300, 21, 2))
    features[:, 0] += (0.5, 8.0)
    choices, bucket = Choices(features, np.full(300, 20)), np.ones(300, np.int64)
    pairs, listing = np.array([False, True]), Listing("ndcg@20", 20)
    found = fit_blend_weights(choices, bucket, 2, 100.0, np.full(2, True), pairs, listing)
    assert found[1, 0] == 0 < found[1, 1], "the others need no popularity"
    assert found[0, 0] > 0 == found[0, 1]
    assert (fit_blend_weights(choices, bucket, 2, 100.0, pairs, pairs, listing)[0] == found[1]).all(), (
        "nothing else is free"
    )


def test_buckets_with_tastes_of_their_own_have_weights_of_their_own() -> None:
    random = np.random.default_rng(1)
    features, bucket = random.normal(size=(2000, 11, 2)), np.arange(2000) % 2
    for number in (0, 1):
        features[bucket == number, 0, number] += 2
    choices = Choices(features, np.full(2000, 10))
    found = fit_blend_weights(choices, bucket, 2, 10.0, np.full(2, True), NO_PAIRS, Listing("ndcg@5", 10))
    assert found[0, 0] > 5 * found[0, 1] and found[1, 1] > 5 * found[1, 0]
    drawn = fit_blend_weights(choices, bucket, 2, 1e6, np.full(2, True), NO_PAIRS, Listing("ndcg@5", 10))
    assert np.abs(drawn[0] - drawn[1]).max() < 0.01


def test_members_go_on_by_themselves() -> None:
    periods = simulated_periods("ranking")
    chain = run_chain(MODEL, Blend(MEMBERS), periods)
    for number, member in enumerate(MEMBERS):
        for alone, within in zip(run_chain(MODEL, member, periods), chain, strict=True):
            own = unpack(f"members/{number}/weights", within.memory)
            assert own.keys() == alone.weights.keys() and all(torch.equal(own[n], alone.weights[n]) for n in own)


def test_weights_are_of_the_members_as_they_were_before() -> None:
    """By hand: the choices of the last two periods, as the members at the close before each of them score them."""
    periods = simulated_periods("ranking", rows=200)
    chain, sets = run_chain(MODEL, Blend(MEMBERS, shrinkage=5.0), periods), []
    for before, logs in zip(chain[2:4], periods[3:5], strict=True):
        own = [unpack(f"members/{n}/weights", before.memory) for n in range(3)]
        past = [member_of(MODEL, weights_at_close(one, logs, before.period)) for one in own]
        found = choice_sets(past, night_candidates(logs), activity_buckets(logs, before.period))
        sets.append(replace(found, scores=found.scores / before.memory["scales"].float()))
    features = torch.cat([sets[0].scores.half().float(), sets[1].scores]).double().numpy()
    choices = Choices(features, torch.cat([one.count for one in sets]).numpy())
    bucket = torch.cat([one.bucket for one in sets]).numpy()
    expected = fit_blend_weights(choices, bucket, 3, 5.0, np.full(4, True), np.arange(4) == 3, Listing("ndcg@20", 999))
    assert chain[4].memory["weights"].numpy() == pytest.approx(expected, abs=1e-3)
    assert len(set(bucket.tolist())) > 1 and len(chain[4].memory["nights"]) == 3


def test_what_tells_items_apart_gets_the_weight() -> None:
    good, bad = Says(-1.0), Says(1.0)
    newest = run_chain(MODEL, Blend((bad, good)), low_items(4))[-1]
    weights = newest.memory["weights"]
    assert bool((weights[:, 1] > 10 * weights[:, 0]).all())
    logs = low_items(4)[-1]
    scores = from_weights(MODEL.factors, newest.weights)(torch.tensor([0, 999]), torch.arange(logs.sizes[1]))
    assert bool((scores.diff(dim=1) < 0).all())


def test_below_a_member_that_member_is_served() -> None:
    periods = simulated_periods("ranking")
    strategy = Blend(MEMBERS, floor=3)
    before = run_chain(MODEL, strategy, periods[:4])[-1]
    worse = {**before.memory, "nights": torch.tensor([[0.25, 0.25, 0.75, 0.25]] * 3).double()}
    better = {**before.memory, "nights": torch.tensor([[0.75, 0.25, 0.25, 0.25]] * 3).double()}
    served = fold(MODEL, strategy, replace(before, memory=worse), periods[4])
    own = unpack("members/1/weights", served.memory)
    assert served.weights.keys() == own.keys() and all(torch.equal(own[name], served.weights[name]) for name in own)
    assert len(served.memory["nights"]) == 3 and served.memory["nights"][:2, 2].tolist() == [0.75, 0.75]
    assert UNKNOWN in fold(MODEL, strategy, replace(before, memory=better), periods[4]).weights


def test_a_night_is_measured_as_the_score_step_measures_it() -> None:
    periods = simulated_periods("ranking", rows=200)
    chain = run_chain(MODEL, Blend(MEMBERS), periods)
    logs, before = periods[4], chain[3]
    from nightloop.tasks.evaluation.candidates import sample_candidates
    from nightloop.tasks.evaluation.score_period import scored_period
    from nightloop.tasks.evaluation.summary import summarize_metrics

    candidates = sample_candidates(logs.since(4), logs.rows[logs.periods < 4], logs.ranking)
    served = [before.weights, *(unpack(f"members/{n}/weights", before.memory) for n in range(3))]
    expected = [
        summarize_metrics(scored_period(MODEL, w, logs.since(4), candidates), "ranking")["ndcg@20"] for w in served
    ]
    found = chain[4].memory["nights"][-1].tolist()
    assert found[1:] == pytest.approx(expected[1:]) and (
        UNKNOWN not in before.weights or found[0] == pytest.approx(expected[0], abs=1e-6)
    )


def test_a_member_that_fails_is_left_out_for_the_night(caplog: pytest.LogCaptureFixture) -> None:
    periods = low_items(6)
    with caplog.at_level(logging.WARNING):
        chain = run_chain(MODEL, Blend((Says(-1.0, fails=(3,)), NoUpdate())), periods)
    assert "left out tonight: Blend's members[0] Says: period 3 cannot be learned from" in caplog.text
    biases = [unpack("members/0/weights", one.memory)["table.item"][:, -1] for one in chain]
    assert torch.equal(biases[3], biases[2]), "it stays as it was"
    assert not chain[3].memory["weights"][:, 0].any() and bool(chain[4].memory["weights"][:, 0].any())
    with pytest.raises(ValueError, match="all members failed: Blend's members"):
        run_chain(MODEL, Blend((Says(1.0, (2,)), Says(-1.0, (2,)))), periods)


def test_weights_that_do_not_identify_stay(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chain = run_chain(MODEL, Blend((Says(0.0), Says(0.0, fails=(99,)))), low_items(3))
    assert "no member of the blend tells the items of this period apart: the weights of before stay" in caplog.text
    assert torch.equal(chain[-1].memory["weights"], chain[0].memory["weights"])


def test_a_period_without_rows_keeps_the_weights() -> None:
    periods = simulated_periods("ranking", count=4)
    empty = [logs.select(logs.periods != 3) for logs in periods]
    chain = run_chain(MODEL, Blend(MEMBERS), empty)
    for name in ("weights", "scales", "nights", "choices/scores"):
        assert torch.equal(chain[3].memory[name], chain[2].memory[name])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Blend((FINE,)), "members: given 1; Blend adds the scores of 2 or more"),
        (lambda: Blend((FINE, Popularity(), FINE)), "members: 0 and 2 are the same; name each once"),
        (lambda: Blend((FINE, Hedge((NoUpdate(), Graphs())))), "only scores of MF can be added"),
        (lambda: Blend(MEMBERS, shrinkage=0), "shrinkage: given 0; it counts rows"),
        (lambda: Blend(MEMBERS, floor=0), "floor: given 0"),
    ],
)
def test_what_cannot_be_blended_is_refused(made: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        made()  # type: ignore[operator]
    assert said in str(caught.value)


def test_a_memory_of_other_members_is_refused() -> None:
    periods = simulated_periods("ranking", count=2)
    made = run_chain(MODEL, Blend(MEMBERS), periods[:1])[-1]
    with pytest.raises(ValueError, match="Blend expects members/3/weights/"):
        fold(MODEL, Blend((*MEMBERS, Repeat())), made, periods[1])
    with pytest.raises(ValueError, match="Blend expects"):
        fold(MODEL, Blend((FINE, ItemKNN(), Popularity())), run_chain(MODEL, FINE, periods[:1])[-1], periods[1])


class Graphs(NoUpdate):
    models = ("LightGCN",)


def test_pair_scores_of_no_member_are_empty() -> None:
    weights = run_chain(MODEL, Blend((FINE, Popularity())), simulated_periods("ranking", count=2))[-1].weights
    assert not len(PairScores(*(weights[n] for n in ("pairs.start", "pairs.item", "pairs.value"))).item)
