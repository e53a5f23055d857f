"""Reading: logs as tensors, the same for everyone, and nothing of a later period in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.clean_rows import clean_digest, clean_ids, existing_counts
from nightloop.tasks.data.load import read_logs, read_pairs
from nightloop.tasks.data.vocabulary import Vocabulary, empty_vocabulary, grow_vocabulary
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from tests.lake.make_lake import NAMES, SIMPLE, START, day, lake, plan, rows

BOTH = ((0, 1), (1, 1))


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("reading")) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), NAMES)
        land(warehouse, day(1), rows(("cat", 10, 90_000, 1, "web", 7.0), ("ann", 10, 90_001, 0, "tv", 1.0)), NAMES)
        yield warehouse


@pytest.fixture(scope="module")
def vocabulary(pond: Warehouse) -> Vocabulary:
    grown = empty_vocabulary(NAMES)
    for period, version in BOTH:
        grown = reduce(grow_vocabulary, clean_ids(pond, plan(), period, version), grown)
    return grown


def test_rows_are_in_order_of_period_time_user_and_item(pond: Warehouse, vocabulary: Vocabulary) -> None:
    logs = read_logs(pond, plan(), vocabulary, BOTH, seed=7)
    # (ann, 2), (ann, 10), (bob, 2) at 3 s; (ann, 1) at 5 s; then the next day
    assert logs.rows.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 2], [0, 2, 0], [2, 1, 2], [0, 1, 3]]
    assert logs.time.tolist() == [START + s * 1_000_000 for s in (3, 3, 3, 5, 90_000, 90_001)]
    assert logs.label.tolist() == [0, 1, 0, 1, 1, 0] and logs.periods.tolist() == [0, 0, 0, 0, 1, 1]
    assert logs.numeric.tolist() == [[0.0], [0.0], [1.0], [2.5], [7.0], [1.0]]  # a missing number is 0
    assert (logs.period, logs.fields, logs.sizes, logs.seed) == (1, ("user", "item", "device"), (3, 3, 4), 7)
    assert [born.tolist() for born in logs.born] == [[0, 0, 1], [0, 0, 0], [0, 0, 0, 1]]
    assert (logs.rows.dtype, logs.label.dtype, logs.periods.dtype) == (torch.int64, torch.float32, torch.int32)


def test_a_later_vocabulary_reads_the_same(pond: Warehouse, vocabulary: Vocabulary) -> None:
    then = reduce(grow_vocabulary, clean_ids(pond, plan(), 0, 1), empty_vocabulary(NAMES))
    early, late = (read_logs(pond, plan(), v, BOTH[:1], seed=0) for v in (then, vocabulary))
    assert early.sizes == late.sizes == (2, 3, 3)
    assert all(torch.equal(a, b) for a, b in zip((early.rows, *early.born), (late.rows, *late.born), strict=True))


def test_ids_that_the_vocabulary_lacks(pond: Warehouse) -> None:
    then = reduce(grow_vocabulary, clean_ids(pond, plan(), 0, 1), empty_vocabulary(NAMES))
    with pytest.raises(ValueError, match="user: 1 rows have ids that the vocabulary lacks, such as 'cat'"):
        read_logs(pond, plan(), then, BOTH, seed=0)


def test_versions_that_are_not_there(pond: Warehouse, vocabulary: Vocabulary) -> None:
    with pytest.raises(LookupError, match="no version 2 of period 0, version 1 of period 5"):
        read_logs(pond, plan(), vocabulary, [(0, 1), (0, 2), (5, 1)], seed=0)
    with pytest.raises(ValueError, match="at least one version"):
        read_logs(pond, plan(), vocabulary, [], seed=0)


def test_pairs_are_distinct_and_in_order(pond: Warehouse, vocabulary: Vocabulary) -> None:
    assert read_pairs(pond, vocabulary, BOTH).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [2, 1]]
    assert read_pairs(pond, vocabulary, []).shape == (0, 2)


def test_rows_put_aside_are_not_read(pond: Warehouse, vocabulary: Vocabulary) -> None:
    land(pond, day(2), rows(*SIMPLE), NAMES)
    before = clean_digest(pond, 2, 1)
    pond.quarantine(2, 1, pa.table({"arrival": pa.array([0], pa.int64()), "reason": ["price/range"]}))
    assert len(read_logs(pond, plan(), vocabulary, [(2, 1)], seed=0)) == 3
    assert clean_digest(pond, 2, 1)[1:] == (4, 1) and clean_digest(pond, 2, 1)[0] != before[0]


def test_a_version_is_counted_once_and_again_after_rows_were_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake(tmp_path) as warehouse:
        land(warehouse, day(2), rows(*SIMPLE), NAMES)
        counts = existing_counts(warehouse, [(2, 1)])
        monkeypatch.setattr("nightloop.tasks.data.clean_rows.clean_counts", lambda *given: pytest.fail("counted again"))
        assert existing_counts(warehouse, [(2, 1)]) == counts == {(2, 1): counts[2, 1]}
        monkeypatch.undo()
        warehouse.quarantine(2, 1, pa.table({"arrival": pa.array([0], pa.int64()), "reason": ["test"]}))
        assert existing_counts(warehouse, [(2, 1)]) == {(2, 1): counts[2, 1] - 1}


def test_without_a_label_every_row_is_a_positive(pond: Warehouse, vocabulary: Vocabulary) -> None:
    ranking = plan(NAMES.model_copy(update={"label": None, "numeric": ()}))
    logs = read_logs(pond, ranking, vocabulary, BOTH, seed=0)
    assert logs.label.tolist() == [1.0] * 6 and logs.numeric.shape == (6, 0)


def test_what_was_served_is_read_and_what_is_no_probability_is_put_aside(tmp_path: Path) -> None:
    columns = NAMES.model_copy(update={"logged_probability": "price", "numeric": ()})
    values = (0.25, 1.0, None, 1.5, -0.1, 0.0, float("nan"))
    batches = rows(*(("ann", j, j, 1, "web", value) for j, value in enumerate(values)))
    order = plan(columns)
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), batches, columns)
        found = validate_period(warehouse, order, day(0), 1, EarlierNights())
        logs = read_logs(
            warehouse,
            order,
            reduce(grow_vocabulary, clean_ids(warehouse, order, 0, 1), empty_vocabulary(columns)),
            [(0, 1)],
            seed=0,
        )
    assert "served/range: 2 rows put aside (allowed is 0.0 to 1.0)" in " ".join(found.reasons)
    assert torch.equal(logs.served.nan_to_num(-1), torch.tensor([0.25, 1.0, -1, 0.0, -1])) and logs.numeric.shape == (
        5,
        0,
    )
    assert torch.equal(logs.select(torch.tensor([3, 0])).served, torch.tensor([0.0, 0.25]))


def test_logs_say_nothing_of_what_was_served_where_the_plan_does_not(pond: Warehouse, vocabulary: Vocabulary) -> None:
    served = read_logs(pond, plan(), vocabulary, BOTH, seed=0).served
    assert served.shape == (6,) and bool(served.isnan().all())
