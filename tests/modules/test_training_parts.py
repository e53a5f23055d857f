"""The pieces of the loop on their own: grouping, row-wise rules, Adam, negatives, canonical order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.modules.adam import Adam
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.row_order import canonical_order
from nightloop.tasks.modules.rowwise_optimizers import RowAdagrad, RowAdam
from nightloop.tasks.modules.segment_sums import RADIX, group, sum_groups
from nightloop.tasks.modules.table_rows import put_rows, take_rows
from tests.models.make_logs import make


@pytest.mark.parametrize("count", [RADIX - 1, RADIX])
def test_many_ids_are_grouped_as_few_are(count):
    ids = torch.randint(2**31 - 50, 2**31 - 1, (count,), generator=torch.Generator().manual_seed(0))
    groups = group(ids)
    assert groups.rows.tolist() == ids.unique().tolist()
    for row, begin, size in zip(groups.rows, groups.starts, groups.counts, strict=True):
        assert groups.order[begin : begin + size].tolist() == (ids == row).nonzero().flatten().tolist()


def test_groups_by_hand():
    groups = group(torch.tensor([7, 2, 7, 0, 2, 7]))
    assert groups.rows.tolist() == [0, 2, 7] and groups.counts.tolist() == [1, 2, 3]
    assert groups.order.tolist() == [3, 1, 4, 0, 2, 5] and groups.starts.tolist() == [0, 1, 3]
    values = torch.arange(12.0).view(6, 2)
    assert sum_groups(groups, values).tolist() == [[6, 7], [10, 12], [14, 17]]


def test_groups_of_large_ids():
    ids = torch.tensor([2**31 - 1, 0, 2**31 - 1])
    assert group(ids).rows.tolist() == [0, 2**31 - 1] and group(ids).order.tolist() == [1, 0, 2]
    assert len(group(torch.zeros(0, dtype=torch.int64)).rows) == 0


def test_row_adagrad_by_hand():
    table, squares = torch.ones(3, 2), torch.tensor([0.0, 12.5, 0.0])
    RowAdagrad(0.1, squares).step(table, torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
    assert squares.tolist() == [0.0, 25.0, 0.0]
    torch.testing.assert_close(table, torch.tensor([[1, 1], [1 - 0.1 * 3 / 5, 1 - 0.1 * 4 / 5], [1, 1]]))


def test_row_adam_visits_are_independent():
    """A row visited every third step ends where a row visited every step ends after as many visits."""
    table = torch.zeros(2, 2)
    rule = RowAdam(0.1, torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
    gradients = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    for g in gradients:
        rule.step(table, torch.tensor([0]), g[None].clone())
    for g in gradients:
        rule.step(table, torch.tensor([1]), g[None].clone())
    assert torch.equal(table[0], table[1]) and rule.steps.tolist() == [4, 4]
    assert float(table[0].abs().max()) < 0.41


def test_row_adam_of_one_column_is_adam():
    table, parameter = torch.full((1, 1), 2.0), torch.nn.Parameter(torch.full((1, 1), 2.0))
    rule = RowAdam(0.1, torch.zeros(1, 1), torch.zeros(1), torch.zeros(1))
    adam = torch.optim.Adam([parameter], lr=0.1)
    for g in (1.0, -3.0, 0.5):
        rule.step(table, torch.tensor([0]), torch.tensor([[g]]))
        parameter.grad = torch.tensor([[g]])
        adam.step()
    torch.testing.assert_close(table, parameter.data)


def test_adam_is_torch_adam():
    weights = torch.randn(20, generator=torch.Generator().manual_seed(0))
    parameter = torch.nn.Parameter(weights.clone())
    ours, theirs = Adam(0.01, torch.zeros(20), torch.zeros(20), 0), torch.optim.Adam([parameter], lr=0.01)
    for seed in range(5):
        g = torch.randn(20, generator=torch.Generator().manual_seed(seed))
        ours.step(weights, g)
        parameter.grad = g.clone()
        theirs.step()
    torch.testing.assert_close(weights, parameter.data)


def test_negatives_are_never_known_positives_and_uniform_over_the_rest():
    users = torch.tensor([0] * 8 + [1] * 2)
    items = torch.tensor([*range(8), 0, 9])
    positives = index_positives(users, items, 10)
    who = torch.cat([torch.zeros(2000, dtype=torch.int64), torch.ones(16000, dtype=torch.int64)])
    found, real = draw(positives, who, torch.Generator().manual_seed(0))
    assert real is None
    found = found.flatten()
    assert set(found[:2000].tolist()) == {8, 9}
    counts = torch.bincount(found[2000:], minlength=10)
    assert counts[0] == counts[9] == 0
    assert float(((counts[1:9] - 2000).square() / 2000).sum()) < 30  # chi-squared, 7 degrees of freedom


def test_negatives_of_a_user_who_took_everything():
    positives = index_positives(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), 2)
    found, real = draw(positives, torch.tensor([0, 1, 0]), torch.Generator().manual_seed(0))
    assert real is not None and real.tolist() == [[False], [True], [False]] and int(found[1]) == 1


def test_the_sieve_lets_no_known_positive_through():
    g = torch.Generator().manual_seed(1)
    users, items = torch.randint(1000, (50_000,), generator=g), torch.randint(900, (50_000,), generator=g)
    positives = index_positives(users, items, 900)
    asked = torch.randint(1000, (50_000,), generator=g), torch.randint(900, (50_000,), generator=g)
    keys = set((users * 900 + items).tolist())
    expected = [n for n, key in enumerate((asked[0] * 900 + asked[1]).tolist()) if key in keys]
    assert positives.find(*asked).tolist() == expected


@pytest.mark.parametrize("coarse", [1, 10, 1000])
def test_canonical_order(coarse):
    logs = make((5, 6, 3), 100, numeric=2, labels=True)
    logs = replace(logs, time=logs.time // coarse)
    if coarse == 1:
        assert canonical_order(logs) is None
    orders = []
    for seed in range(3):
        shuffled = logs.select(torch.randperm(100, generator=torch.Generator().manual_seed(seed)))
        order = canonical_order(shuffled)
        assert order is not None and sorted(order.tolist()) == list(range(100))
        in_order = shuffled.select(order)
        assert bool((in_order.time[1:] >= in_order.time[:-1]).all())
        orders.append(torch.cat([in_order.rows.float(), in_order.numeric, in_order.label[:, None]], 1))
    assert torch.equal(orders[0], orders[1]) and torch.equal(orders[0], orders[2])


@pytest.mark.parametrize("width", [1, 11, 64])
def test_rows_are_moved_whole(width):
    table = torch.randn(30, width, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([29, 0, 7])
    expected = table.clone()
    expected[rows] = table[rows] + 1
    taken = take_rows(table, rows)
    assert torch.equal(taken, table[rows])
    put_rows(table, rows, taken + 1)
    assert torch.equal(table, expected)
    put_rows(table, rows[:0], taken[:0])
    assert torch.equal(table, expected) and take_rows(table, rows[:0]).shape == (0, width)
