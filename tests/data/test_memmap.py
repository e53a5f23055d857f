"""Mapped logs: read into files, they equal logs in memory, learn the same, and leave nothing behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import fields
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data import load
from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.memmap import allocate_columns
from nightloop.tasks.data.vocabulary import Vocabulary, empty_vocabulary, grow_vocabulary, vocabulary_to_bytes
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.training.resize import initial_weights
from tests.lake.make_lake import START, day, lake, plan

COLUMNS = Columns(
    user="u", item="i", time="t", label="y", logged_probability="p", categorical=("device", "tags"), numeric=("price",),
    multi_value={"tags": 2}, history_length=3,
)  # fmt: skip
VERSIONS = [(2, 1), (0, 1), (1, 1)]
CLEAN = 208  # of 210 rows that arrive two are repeats


def batch(index: int, rows: int = 70) -> pa.RecordBatch:
    """Rows of a day, several at each instant."""
    draw = torch.Generator().manual_seed(index)
    user, item, second, device = (torch.randint(n, (rows,), generator=draw).tolist() for n in (9, 30, 20, 4))
    chance = torch.rand(rows, generator=draw).tolist()
    return pa.RecordBatch.from_pydict({
        "u": pa.array(user), "i": pa.array(item), "y": pa.array([int(c < 0.5) for c in chance]),
        "t": pa.array([START + index * 86_400_000_000 + s * 1_000_000 for s in second], pa.timestamp("us", tz="UTC")),
        "p": pa.array([None if c > 0.9 else c for c in chance]), "price": pa.array([10 * c for c in chance]),
        "device": pa.array([None if d == 3 else f"d{d}" for d in device]),
        "tags": pa.array(["|".join(f"t{(d + k) % 5}" for k in range(d)) for d in device]),
    })  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("mapped")
    with lake(home) as warehouse:
        for index in range(3):
            land(warehouse, day(index), [batch(index)], COLUMNS)
    return home


@pytest.fixture(scope="module")
def vocabulary(home: Path) -> Vocabulary:
    grown = empty_vocabulary(COLUMNS)
    with lake(home) as warehouse:
        for index in range(3):
            grown = reduce(grow_vocabulary, clean_ids(warehouse, plan(COLUMNS), index, 1), grown)
    return grown


@pytest.fixture(scope="module")
def read(home: Path, vocabulary: Vocabulary) -> Callable[[str], Logs]:
    def read(memory: str) -> Logs:
        with lake(home, logs_memory=memory) as warehouse:
            return read_logs(warehouse, plan(COLUMNS), vocabulary, VERSIONS, seed=1)

    return read


def mapped(home: Path) -> int:
    """How many files of the lake's home this process has mapped."""
    gc.collect()
    return sum(str(home) in line for line in Path("/proc/self/maps").read_text().splitlines())


def differing(one: Logs, other: Logs) -> list[str]:
    """Names of what is not equal to the bit."""

    def same(a: object, b: object) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        return a == b

    pairs = {field.name: (getattr(one, field.name), getattr(other, field.name)) for field in fields(Logs)}
    pairs |= {f"born {n}": born for n, born in enumerate(zip(*pairs.pop("born"), strict=True))}
    return [name for name, (a, b) in pairs.items() if not same(a, b)]


def test_logs_in_files_equal_logs_in_memory_and_leave_no_file(home: Path, read: Callable[[str], Logs]) -> None:
    memory = read("1GB")
    assert len(memory) == CLEAN and mapped(home) == 0
    files = read("1KB")  # the lake is closed by now, the logs live on
    assert mapped(home) == 7, "periods, rows, time, numeric, values, label, served"
    assert not differing(memory, files) and torch.equal(files.periods.sort().values, files.periods)
    assert not list(home.rglob(".scratch-*")), "nothing has a name"
    del files
    assert mapped(home) == 0


def test_batches_and_parts_are_no_part_of_the_result(
    read: Callable[[str], Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read("1GB")
    monkeypatch.setattr(load, "AT_ONCE", 100)  # each period is asked for alone
    monkeypatch.setattr("nightloop.tasks.lake.warehouse.CHUNK", 16)
    monkeypatch.setattr("nightloop.tasks.lake.batches.ROWS", 16)
    assert not differing(whole, read("1GB")) and not differing(whole, read("1KB"))


def test_a_vocabulary_grown_in_batches_is_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rare = COLUMNS.model_copy(update={"min_count": 5})

    def grown() -> bytes:
        words = empty_vocabulary(rare)
        with lake(home) as warehouse:
            for index in range(3):
                words = reduce(grow_vocabulary, clean_ids(warehouse, plan(rare), index, 1), words)
        return vocabulary_to_bytes(words)

    whole = grown()
    monkeypatch.setattr("nightloop.tasks.lake.warehouse.CHUNK", 16)
    monkeypatch.setattr("nightloop.tasks.lake.batches.ROWS", 16)
    assert grown() == whole


def test_training_on_logs_in_files_is_the_same_to_the_bit(read: Callable[[str], Logs]) -> None:
    model = DeepFM(("user", "item", "device", "tags"), numeric=1, width=4, hidden=(8, 8))
    strategy = FullRetrain(TrainConfig(epochs=2, batch_size=32, lr=0.05), begin="scratch")
    made = []
    for logs in (read("1GB"), read("1KB")):
        start = strategy.start(model, initial_weights(model, logs), logs)
        made.append(fold(model, strategy, start, logs).weights)
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_an_error_in_mid_stream_leaves_nothing_behind(
    home: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = Vocabulary({**vocabulary.ids, "item": vocabulary.ids["item"][:-1]}, vocabulary.births)
    monkeypatch.setattr("nightloop.tasks.lake.warehouse.CHUNK", 16)
    monkeypatch.setattr("nightloop.tasks.lake.batches.ROWS", 16)
    with lake(home, logs_memory="1KB") as warehouse:
        with pytest.raises(ValueError, match=r"item: .* that the vocabulary lacks"):
            read_logs(warehouse, plan(COLUMNS), scarce, VERSIONS, seed=1)
        assert mapped(home) == 0 and not list(warehouse.scratch.iterdir())
        assert len(read_logs(warehouse, plan(COLUMNS), vocabulary, VERSIONS, seed=1)) == CLEAN


def test_a_lake_that_changes_while_it_is_read(
    home: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Warehouse.query

    def one_more(warehouse: Warehouse, name: str, params: dict[str, object] | None = None) -> pa.Table:
        table = counted(warehouse, name, params)
        return table.set_column(1, "rows", pa.array([CLEAN - 1, 1, 1])) if name == "read/clean_counts" else table

    monkeypatch.setattr(Warehouse, "query", one_more)
    with lake(home) as warehouse, pytest.raises(RuntimeError, match="208 rows came instead of 209; read again"):
        read_logs(warehouse, plan(COLUMNS), vocabulary, VERSIONS, seed=1)


def test_a_disk_without_room_is_an_error(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    rows = free.f_bavail * free.f_frsize // 4
    with pytest.raises(OSError, match=r"No space left|too large"):
        allocate_columns(2 * rows, {"time": ((), torch.int64)}, 0, tmp_path)
    assert not list(tmp_path.iterdir())
