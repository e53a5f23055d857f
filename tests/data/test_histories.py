"""Histories: against rows written out and a slow loop, across periods, deliveries and ties; never from the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.histories import latest_histories, with_histories
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import empty_vocabulary, grow_vocabulary
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.retraining.contract_data import logs_until, simulated_periods
from tests.lake.make_lake import NAMES, day, lake, plan, rows

TOLD = NAMES.model_copy(update={"history_length": 3})
DAY_0 = (
    ("ann", 1, 1, 1, "web", 0.0), ("ann", 2, 2, 0, "web", 0.0), ("bob", 1, 2, 1, "web", 0.0),
    ("ann", 10, 3, 1, "web", 0.0), ("ann", 3, 3, 1, "web", 0.0), ("ann", 2, 4, 1, "web", 0.0),
)  # fmt: skip
DAY_1 = (("ann", 1, 86_401, 0, "tv", 0.0), ("bob", 3, 86_402, 1, "tv", 0.0), ("bob", 2, 86_403, 0, "tv", 0.0))


def told(warehouse: Warehouse, versions: list[tuple[int, int]], earlier: list[tuple[int, int]], most: int = 3) -> Logs:
    columns = NAMES.model_copy(update={"history_length": most})
    vocabulary = empty_vocabulary(columns)
    for period, version in sorted([*earlier, *versions]):
        vocabulary = reduce(grow_vocabulary, clean_ids(warehouse, plan(columns), period, version), vocabulary)
    return read_logs(warehouse, plan(columns), vocabulary, versions, 0, earlier)


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("histories")) as warehouse:
        land(warehouse, day(0), rows(*DAY_0), NAMES)
        land(warehouse, day(1), rows(*DAY_1), NAMES)
        yield warehouse


def words(logs: Logs, items: list[list[int]]) -> list[list[int]]:
    """Vocabulary rows as the items of DAY_0: first seen in the order 1, 2, 3, 10."""
    names = [1, 2, 3, 10]
    return [[names[row] for row in line if row >= 0] for line in items]


def test_rows_written_out(pond: Warehouse) -> None:
    logs = told(pond, [(0, 1), (1, 1)], [])
    # ann 1, ann 2 (not taken), bob 1, ann 3 and ann 10 at one instant, ann 2; then ann 1, bob 3, bob 2
    assert words(logs, logs.history.tolist()) == [[], [1], [], [1], [1], [1, 3, 10], [3, 10, 2], [1], [1, 3]]
    assert words(logs, logs.latest.tolist()) == [[3, 10, 2], [1, 3]]
    assert logs.history.tolist()[3] == [-1, -1, 0], "newest last, -1 where there are fewer"
    assert logs.history.dtype == logs.latest.dtype == torch.int64


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_a_lookback_of_one_period_sees_the_items_of_earlier_ones(pond: Warehouse, most: int) -> None:
    whole, night = told(pond, [(0, 1), (1, 1)], [], most), told(pond, [(1, 1)], [(0, 1)], most)
    assert torch.equal(whole.history[whole.periods == 1], night.history)
    assert torch.equal(whole.latest, night.latest)


def test_late_data_and_rows_put_aside_count_by_version(pond: Warehouse) -> None:
    land(pond, day(0), rows(*DAY_0, ("bob", 10, 50, 1, "web", 0.0)), NAMES)
    pond.quarantine(0, 2, pa.table({"arrival": pa.array([5], pa.int64()), "reason": ["price/range"]}))
    before, after = (told(pond, [(1, 1)], [(0, version)]) for version in (1, 2))
    assert words(before, before.history.tolist()) == [[3, 10, 2], [1], [1, 3]]
    assert words(after, after.history.tolist()) == [[1, 3, 10], [1, 10], [1, 10, 3]]


def test_without_a_label_all_rows_were_taken(pond: Warehouse) -> None:
    columns = TOLD.model_copy(update={"label": None})
    vocabulary = reduce(grow_vocabulary, clean_ids(pond, plan(columns), 0, 1), empty_vocabulary(columns))
    vocabulary = reduce(grow_vocabulary, clean_ids(pond, plan(columns), 1, 1), vocabulary)
    logs = read_logs(pond, plan(columns), vocabulary, [(1, 1)], 0, [(0, 1)])
    assert words(logs, logs.history.tolist()) == [[3, 10, 2], [1], [1, 3]]
    assert words(logs, logs.latest.tolist()) == [[10, 2, 1], [1, 3, 2]]


def test_without_histories_none_are_read(pond: Warehouse) -> None:
    logs = told(pond, [(1, 1)], [(0, 1)], 0)
    assert logs.history.shape == (3, 0) and logs.latest.shape == (2, 0)


def test_earlier_periods_are_earlier(pond: Warehouse) -> None:
    with pytest.raises(ValueError, match="periods before 0; given is period 1"):
        told(pond, [(0, 1)], [(1, 1)])


def slow(logs: Logs, length: int) -> list[list[int]]:
    """The definition, row by row."""
    keys = list(zip(logs.periods.tolist(), logs.time.tolist(), strict=True))
    found = []
    for n, (user, _) in enumerate(logs.rows[:, :2].tolist()):
        past = [
            int(logs.rows[m, 1])
            for m in range(len(logs))
            if int(logs.rows[m, 0]) == user and keys[m] < keys[n] and logs.label[m] > 0.5
        ]
        found.append([-1] * (length - len(past)) + past[-length:])
    return found


@pytest.mark.parametrize("family", ["ranking", "ctr"])
def test_the_definition(family: str) -> None:
    for instant in (1, 7):
        whole = simulated_periods(family, count=3)[-1]  # type: ignore[arg-type]
        whole = with_histories(replace(whole, time=whole.time // instant), 4)
        assert whole.history.tolist() == slow(whole, 4)
        last = replace(whole, rows=whole.rows.flip(0), periods=whole.periods + 1)  # anybody's row of the next period
        users = [int(user) for user in last.rows[:, 0]]
        ends = slow(replace(whole, rows=torch.cat([whole.rows, last.rows]), time=torch.cat([whole.time, last.time]),
                            periods=torch.cat([whole.periods, torch.full_like(last.periods, 9)]),
                            label=torch.cat([whole.label, torch.zeros(len(last))])), 4)[len(whole):]  # fmt: skip
        assert whole.latest[users].tolist() == ends


def test_later_rows_change_no_earlier_history() -> None:
    whole = simulated_periods("ctr", count=4, history=5)[-1]
    later = whole.periods >= 2
    other = replace(whole, label=torch.where(later, 1 - whole.label, whole.label),
                    rows=torch.where(later[:, None], whole.rows.flip(0) % 7, whole.rows))  # fmt: skip
    again = with_histories(other, 5)
    assert torch.equal(again.history[~later], whole.history[~later])
    assert not torch.equal(again.history[later], whole.history[later])
    assert torch.equal(logs_until(again, 1).latest, logs_until(whole, 1).latest)


def test_logs_keep_their_histories() -> None:
    logs = simulated_periods("ranking", history=3)[2]
    newest = logs.since(2)
    assert torch.equal(newest.history, logs.history[logs.periods == 2]) and newest.latest is logs.latest
    assert torch.equal(latest_histories(logs, logs.sizes[0]), logs.latest)
    nobody = with_histories(logs.select(torch.zeros(len(logs), dtype=torch.bool)), 3)
    assert nobody.history.shape == (0, 3) and bool((nobody.latest == -1).all())
