"""IALS: its solutions are those of the objective in its docstring, and it goes on from the night before."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from scipy.sparse import csr_matrix

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.threads import thread_pool
from nightloop.tasks.retraining.advance import fold, recent_rows, start_chain
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.time_decay import decay_weights
from nightloop.tasks.strategies import ials
from nightloop.tasks.strategies.ials import IALS
from nightloop.tasks.training.resize import grow, initial_weights

MODEL = MF(width=6, biases=True)
LOGS = simulated_periods("ranking", rows=300)


def counts(logs, half_life):
    table = torch.zeros(logs.sizes, dtype=torch.float64)
    return table.index_put_((logs.rows[:, 0], logs.rows[:, 1]), decay_weights(logs, half_life), accumulate=True)


def loss(strategy, logs, users, items):
    """The objective, pair by pair."""
    c, a = counts(logs, strategy.half_life), strategy.unobserved_weight
    p, q = users.double(), items.double()
    scores = p @ q.T
    lengths = [
        ((sums + a * others) * factors.square().sum(1)).sum()
        for sums, others, factors in ((c.sum(1), len(q), p), (c.sum(0), len(p), q))
    ]
    return (c * (1 - scores).square()).sum() + a * scores.square().sum() + strategy.regularization * sum(lengths)


def factors_of(checkpoint):
    return tuple(checkpoint.weights[name][:, :6] for name in ("table.user", "table.item"))


@pytest.mark.parametrize("numbers", [1, 60, ials.NUMBERS])  # rows one by one, and in chunks
@pytest.mark.parametrize("rows", [300, 12])  # more pairs a row than factors, and fewer
def test_users_are_the_minimum_of_the_objective(rows, numbers, monkeypatch):
    monkeypatch.setattr(ials, "NUMBERS", numbers)
    logs, strategy = simulated_periods("ranking", rows=rows)[2], IALS(unobserved_weight=0.2, regularization=0.05)
    made = strategy.start(MODEL, initial_weights(MODEL, logs), logs)
    users, items = (table.double().requires_grad_() for table in factors_of(made))
    gradient, _ = torch.autograd.grad(loss(strategy, logs, users, items), (users, items))
    assert float(gradient.abs().max()) < 1e-5
    assert not made.weights["table.user"][:, 6:].any() and not made.weights["table.item"][:, 6:].any()


def test_every_round_lowers_the_objective():
    logs = LOGS[3]
    values = [
        float(loss(one, logs, *factors_of(one.start(MODEL, {}, logs))))
        for one in (IALS(start_sweeps=sweeps) for sweeps in (1, 2, 4, 30))
    ]
    assert all(later < before for before, later in pairwise(values))


def test_one_round_from_last_night_is_nearer_than_one_from_random_factors():
    strategy = IALS(sweeps=1, start_sweeps=30)
    before = start_chain(MODEL, strategy, initial_weights(MODEL, LOGS[3]), LOGS[3])
    warm = fold(MODEL, strategy, before, LOGS[4])
    cold = replace(strategy, start_sweeps=1).start(MODEL, {}, LOGS[4])
    best = strategy.start(MODEL, {}, LOGS[4])
    one, other, least = (float(loss(strategy, LOGS[4], *factors_of(made))) for made in (warm, cold, best))
    assert one - least < 0.1 * (other - least)


def test_who_has_no_row_in_ten_half_lives_keeps_the_factors():
    strategy = IALS(half_life=0.1)
    assert strategy.lookback == 1
    before = run_chain(MODEL, strategy, LOGS[:4])[-1]
    grown, read = grow(MODEL, before, LOGS[4]), recent_rows(LOGS[4], 1)
    after = strategy.update(MODEL, grown, read)
    for column, name in enumerate(("table.user", "table.item")):
        seen = torch.zeros(LOGS[4].sizes[column], dtype=torch.bool)
        seen[read.rows[:, column]] = True
        assert (~seen).any() and torch.equal(after.weights[name][~seen], grown.weights[name][~seen])
        assert (after.weights[name][seen] != grown.weights[name][seen]).any(1).all()


def test_rows_older_than_ten_half_lives_change_nothing_but_the_last_digits():
    strategy, logs = IALS(half_life=0.5), simulated_periods("ranking", rows=100, count=12)
    grown = grow(MODEL, run_chain(MODEL, strategy, logs[:-1])[-1], logs[-1])
    now = logs[-1].since(logs[-1].period).rows
    scores = []
    for read in (logs[-1], recent_rows(logs[-1], strategy.lookback)):
        users, items = factors_of(strategy.update(MODEL, grown, read))
        scores.append(users[now[:, 0]] @ items[now[:, 1]].T)
    assert float((scores[0] - scores[1]).abs().max()) < 0.01


def test_above_a_regularization_of_one_all_factors_go_to_zero():
    made = IALS(regularization=2.0, start_sweeps=60).start(MODEL, {}, LOGS[3])
    assert float(factors_of(made)[0].abs().max()) < 1e-6


def test_an_item_that_many_took_is_solved_alone(monkeypatch):
    monkeypatch.setattr(ials, "NUMBERS", 64)
    count = torch.tensor([0, 3, 200, 1, 0, 2])
    chunks = ials._chunks(count, 4)
    assert [chunk.tolist() for chunk in chunks] == [[2], [1, 5, 3]]
    assert ials._chunks(torch.zeros(3, dtype=torch.int64), 4) == []
    with thread_pool() as pool:
        empty = ials._pairs_by_row(csr_matrix((2, 3)))
        assert torch.equal(IALS()._solve(empty, torch.ones(3, 2), torch.ones(2, 2), pool), torch.ones(2, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"regularization": 0.0}, {"regularization": float("nan")}, {"unobserved_weight": 0.0}, {"half_life": -1.0},
        {"unobserved_weight": float("inf")}, {"sweeps": 0}, {"start_sweeps": 0}, {"sweeps": 1.5},
    ],
)  # fmt: skip
def test_options_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        IALS(**wrong)
