"""Rare categories: K4, one id for all until a value has earned its own, the same at every step of the loop."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.vocabulary import (
    empty_vocabulary,
    encode,
    grow_vocabulary,
    vocabulary_from_bytes,
    vocabulary_to_bytes,
)
from nightloop.tasks.lake.landing import land
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.serving.id_map import id_map
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow as grown
from nightloop.tasks.training.resize import initial_weights
from tests.lake.make_lake import NAMES, day, lake, plan, rows

SELDOM = NAMES.model_copy(update={"min_count": 3})
FIELDS = ("user", "item", "device")
MODEL = DeepFM(FIELDS, numeric=1, width=4, hidden=(8,), scale=1.0)


def table(periods: list[int], devices: list[str | None]) -> pa.Table:
    one = pa.array(["x"] * len(periods), pa.string())
    return pa.table(
        {"period": pa.array(periods, pa.int32()), "user": one, "item": one, "device": pa.array(devices, pa.string())}
    )


def slowly(devices: list[str], most: int) -> list[str | None]:
    """The ids in the order they are earned, told row by row."""
    counts: Counter[str] = Counter()
    ids: list[str | None] = [None] if devices else []
    for device in devices:
        counts[device] += 1
        if counts[device] == most + 1:
            ids.append(device)
    return ids


def test_a_value_has_an_id_of_its_own_once_it_was_seen_more_often() -> None:
    first = grow_vocabulary(empty_vocabulary(SELDOM), table([0] * 5, ["web", "tv", "web", None, "web"]))
    assert first.ids["device"].to_pylist() == [None, "web"] and first.births["device"].to_pylist() == [0, 0]
    assert encode(first, "device", pa.array(["web", "tv", None, "never"])).tolist() == [1, 0, 0, 0]
    second = grow_vocabulary(first, table([1] * 4, ["tv", None, "tv", None]))
    assert second.ids["device"].to_pylist() == [None, "web", "tv", ""]
    assert second.births["device"].to_pylist() == [0, 0, 1, 1] and second.sizes(0) == (1, 1, 2)
    assert second.ids["user"].to_pylist() == ["x"], "users and items always have ids of their own"
    assert encode(second, "user", pa.array(["y"])).tolist() == [-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12), max_size=6), st.integers(1, 4))
def test_k4_the_id_map_is_append_only_and_what_a_row_by_row_count_gives(nights: list[list[str]], most: int) -> None:
    vocabulary, seen = empty_vocabulary(NAMES.model_copy(update={"min_count": most + 1})), []
    for period, devices in enumerate(nights):
        before = vocabulary.ids["device"].to_pylist()
        vocabulary = vocabulary_from_bytes(
            vocabulary_to_bytes(grow_vocabulary(vocabulary, table([period] * len(devices), list(devices))))
        )
        after, seen = vocabulary.ids["device"].to_pylist(), [*seen, *devices]
        assert after[: len(before)] == before, "an id moved, or was taken back"
        assert after == slowly(seen, most)
        assert (np.diff(vocabulary.births["device"].to_numpy()) >= 0).all()
    whole = [p for p, devices in enumerate(nights) for _ in devices]
    at_once = grow_vocabulary(empty_vocabulary(NAMES.model_copy(update={"min_count": most + 1})), table(whole, seen))
    assert vocabulary_to_bytes(at_once) == vocabulary_to_bytes(vocabulary), "a backfill and single nights differ"


def test_without_rare_values_the_bytes_are_what_they_were() -> None:
    grew = grow_vocabulary(empty_vocabulary(NAMES), table([0, 0], ["web", "tv"]))
    reader = pa.ipc.open_file(pa.BufferReader(vocabulary_to_bytes(grew)))
    assert (
        reader.schema.names == ["field", "ids", "births"] and not vocabulary_from_bytes(vocabulary_to_bytes(grew)).rare
    )


def test_serving_knows_what_the_lake_knows() -> None:
    vocabulary = grow_vocabulary(empty_vocabulary(SELDOM), table([0] * 6, ["web", "tv", "web", "", "web", "None"]))
    asked = ["web", "tv", "never", None, "None"]
    assert id_map(vocabulary, "device").rows(asked).tolist() == encode(vocabulary, "device", pa.array(asked)).tolist()
    assert id_map(vocabulary, "user").rows(["never"]).tolist() == [-1]


def test_what_earned_its_id_later_is_read_as_it_was(tmp_path: Path) -> None:
    order, known = plan(SELDOM), [empty_vocabulary(SELDOM)]
    devices = (("web", "tv", "web"), ("web", "tv", "fax"), ("tv", "fax", "web"))
    with lake(tmp_path) as warehouse:
        for number, used in enumerate(devices):
            shown = rows(*((f"u{j}", j, 86_400 * number + j, 1, one, 1.0) for j, one in enumerate(used)))
            land(warehouse, day(number), shown, SELDOM)
            known.append(reduce(grow_vocabulary, clean_ids(warehouse, order, number, 1), known[-1]))
        versions = [(number, 1) for number in range(3)]
        then = [read_logs(warehouse, order, known[t + 1], versions[: t + 1], 0) for t in range(3)]
        late = [read_logs(warehouse, order, known[3], versions[: t + 1], 0) for t in range(3)]
    assert [logs.rows[:, 2].tolist() for logs in then] == [[0] * 3, [1, 0, 1, 1, 0, 0], [1, 2, 1, 1, 2, 0, 2, 0, 1]]
    for one, two in zip(then, late, strict=True):
        assert torch.equal(one.rows, two.rows) and one.sizes == two.sizes and one.others == (-1, -1, 0)
    bakeoff = [
        replace(then[2], sizes=one.sizes).select(then[2].periods <= t).share_rare_rows(one.sizes)
        for t, one in enumerate(then)
    ]
    assert all(torch.equal(one.rows, two.rows) for one, two in zip(then, bakeoff, strict=True))

    weights = initial_weights(MODEL, then[1])  # yesterday's: "tv" was rare when they were served
    served = replace(then[2], rows=then[2].rows.clone())
    served.rows[:, 2][served.rows[:, 2] == 2] = 0
    assert torch.equal(predict(MODEL, weights, then[2]), predict(MODEL, weights, served)), "not judged as it was served"
    larger = grown(MODEL, Checkpoint(1, weights, {"pool/0/weights/table.device": weights["table.device"] * 2}), then[2])
    assert torch.equal(larger.weights["table.device"][2], weights["table.device"][0])
    assert torch.equal(larger.memory["pool/0/weights/table.device"][2], 2 * weights["table.device"][0])
    assert torch.equal(predict(MODEL, larger.weights, then[2]), predict(MODEL, weights, then[2])), (
        "growth moved a prediction"
    )


@pytest.mark.parametrize("damage", [b"", b"x" * 40])
def test_damaged_bytes_are_refused(damage: bytes) -> None:
    data = vocabulary_to_bytes(grow_vocabulary(empty_vocabulary(SELDOM), table([0, 0], ["web", "tv"])))
    with pytest.raises(ValueError, match="not a vocabulary"):
        vocabulary_from_bytes(data[: len(data) // 2] + damage)
