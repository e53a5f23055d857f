"""Vocabulary: rows on first sight, births, and bytes that depend on the ids alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightloop.tasks.data.vocabulary import (
    Vocabulary,
    empty_vocabulary,
    encode,
    grow_vocabulary,
    vocabulary_from_bytes,
    vocabulary_to_bytes,
)
from tests.lake.make_lake import NAMES


def table(period: list[int], user: list[str], item: list[str], device: list[str | None]) -> pa.Table:
    texts = {"user": user, "item": item, "device": device}
    return pa.table(
        {"period": pa.array(period, pa.int32())} | {name: pa.array(v, pa.string()) for name, v in texts.items()}
    )


def ids(vocabulary: Vocabulary) -> dict[str, list[str]]:
    return {field: values.to_pylist() for field, values in vocabulary.ids.items()}


ROWS = table([3, 3, 4, 4], ["b", "a", "b", "c"], ["x", "x", "y", "x"], ["web", None, "web", ""])


def test_rows_are_given_in_the_order_of_first_sight() -> None:
    grown = grow_vocabulary(empty_vocabulary(NAMES), ROWS)
    assert ids(grown) == {"user": ["b", "a", "c"], "item": ["x", "y"], "device": ["web", ""]}
    assert grown.births["user"].to_pylist() == [3, 3, 4] and grown.births["item"].to_pylist() == [3, 4]
    assert grown.sizes(2) == (0, 0, 0) and grown.sizes(3) == (2, 1, 2) and grown.sizes(9) == (3, 2, 2)


def test_all_at_once_is_one_period_at_a_time() -> None:
    steps = grow_vocabulary(grow_vocabulary(empty_vocabulary(NAMES), ROWS.slice(0, 2)), ROWS.slice(2))
    assert vocabulary_to_bytes(steps) == vocabulary_to_bytes(grow_vocabulary(empty_vocabulary(NAMES), ROWS))


def test_nothing_new_changes_nothing() -> None:
    grown = grow_vocabulary(empty_vocabulary(NAMES), ROWS)
    assert (
        vocabulary_to_bytes(grow_vocabulary(grown, ROWS.slice(2)))
        == vocabulary_to_bytes(grown)
        == vocabulary_to_bytes(grow_vocabulary(grown, ROWS.slice(4)))
    )


def test_unseen_is_minus_one_and_null_is_the_missing_category() -> None:
    grown = grow_vocabulary(empty_vocabulary(NAMES), ROWS)
    assert encode(grown, "user", pa.array(["c", "zoe", "b"])).tolist() == [2, -1, 0]
    assert encode(grown, "device", pa.chunked_array([[None], ["web"], [""]], pa.string())).tolist() == [1, 0, 1]
    assert encode(empty_vocabulary(NAMES), "user", pa.array(["a"])).tolist() == [-1]
    assert encode(grown, "user", pa.array([], pa.string())).tolist() == []


def test_bytes_do_not_depend_on_how_the_ids_came() -> None:
    chunked = pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1, 2), ROWS.slice(3)])
    assert vocabulary_to_bytes(grow_vocabulary(empty_vocabulary(NAMES), chunked)) == vocabulary_to_bytes(
        grow_vocabulary(empty_vocabulary(NAMES), ROWS)
    )
    kept = vocabulary_from_bytes(vocabulary_to_bytes(grow_vocabulary(empty_vocabulary(NAMES), ROWS)))
    assert vocabulary_to_bytes(kept) == vocabulary_to_bytes(
        grow_vocabulary(empty_vocabulary(NAMES), ROWS)
    ) and kept.fields == ("user", "item", "device")
    assert vocabulary_to_bytes(
        vocabulary_from_bytes(vocabulary_to_bytes(empty_vocabulary(NAMES)))
    ) == vocabulary_to_bytes(empty_vocabulary(NAMES))


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)), max_size=40))
def test_any_text_comes_back(pairs: list[tuple[int, str]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    texts = [text for _, text in pairs]
    grown = grow_vocabulary(empty_vocabulary(NAMES), table([p for p, _ in pairs], texts, texts, list(texts)))
    assert grown.ids["user"].to_pylist() == list(dict.fromkeys(texts))
    assert encode(vocabulary_from_bytes(vocabulary_to_bytes(grown)), "item", pa.array(texts, pa.string())).tolist() == [
        list(dict.fromkeys(texts)).index(text) for text in texts
    ]
    assert (np.diff(grown.births["user"].to_numpy()) >= 0).all()


def test_history_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="ordered by period"):
        grow_vocabulary(empty_vocabulary(NAMES), ROWS.take([2, 0]))
    with pytest.raises(ValueError, match="grows in order"):
        grow_vocabulary(grow_vocabulary(empty_vocabulary(NAMES), ROWS), table([3], ["new"], ["x"], ["web"]))


def test_damaged_bytes_are_refused() -> None:
    data = vocabulary_to_bytes(grow_vocabulary(empty_vocabulary(NAMES), ROWS))
    for broken in (b"", b"nonsense", data[: len(data) // 2], data[:-1], b"\0" * len(data)):
        with pytest.raises(ValueError, match="not a vocabulary"):
            vocabulary_from_bytes(broken)
