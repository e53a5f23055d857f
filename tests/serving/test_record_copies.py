"""Copies of labelled rows in the store: every whole line once, whatever ends, fails, grows or is begun again."""

from __future__ import annotations

import errno
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import period
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.objects.trash import check_object
from nightloop.tasks.plan.errors import DataError, StoreError
from nightloop.tasks.plan.plan import Calendar, Columns
from nightloop.tasks.serving import record_copies
from nightloop.tasks.serving.pending_labels import ScoredRequest, ScoreRequest
from nightloop.tasks.serving.record_copies import RecordCopies
from nightloop.tasks.serving.serving_log import ServingLog
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import lake, plan

PREFIX = "pipelines/shop/serving/labelled"
DAY = "2026-11-01"


class Unsure(Directory):
    """A store that writes and does not confirm it, as one does whose answer is lost."""

    def create(self, key: str, data: bytes) -> bool:
        super().create(key, data)
        raise StoreError("no answer")


@pytest.fixture()
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "store")


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served" / "labelled").mkdir(parents=True)
    return tmp_path / "served"


def write(folder: Path, text: str, day: str = DAY) -> None:
    with (folder / "labelled" / f"{day}.jsonl").open("a") as file:
        file.write(text)


def copied(store: Directory, day: str = DAY) -> list[bytes]:
    keys = sorted(key for key in store.keys(PREFIX) if f"/{day}/" in key)
    return [found[0] for key in keys if (found := store.read(key)) is not None]


def test_each_whole_line_is_copied_once(store: Directory, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_copies, "MOST", 25)
    copies = RecordCopies(store, "shop", folder)
    copies.send()
    write(folder, '{"n": 1}\n{"n": 2}\n{"n": 3}\n{"n":')
    write(folder, '{"n": 7}\n', "2026-11-02")
    copies.send()
    copies.send()
    assert copied(store) == [b'{"n": 1}\n{"n": 2}\n', b'{"n": 3}\n'], "at most MOST bytes each, and no half line"
    assert copied(store, "2026-11-02") == [b'{"n": 7}\n']
    write(folder, ' 4}\n{"n": 5}\n')
    copies.close()
    RecordCopies(store, "shop", folder).send()
    assert b"".join(copied(store)) == (folder / "labelled" / f"{DAY}.jsonl").read_bytes(), "a restart goes on"


def test_a_copy_that_was_not_confirmed_is_not_made_twice(store: Directory, folder: Path) -> None:
    write(folder, '{"n": 1}\n')
    copies = RecordCopies(Unsure(store.path), "shop", folder)
    with pytest.raises(StoreError):
        copies.send()
    write(folder, '{"n": 2}\n')
    with pytest.raises(StoreError):
        copies.send()
    copies.send()
    assert copied(store) == [b'{"n": 1}\n', b'{"n": 2}\n']


def test_a_file_that_was_removed_and_begun_again_is_copied_whole(store: Directory, folder: Path) -> None:
    copies = RecordCopies(store, "shop", folder)
    write(folder, '{"n": 1, "request": "a"}\n')
    copies.send()
    (folder / "labelled" / f"{DAY}.jsonl").unlink()
    write(folder, '{"n": 2, "request": "b"}\n')
    copies.send()
    assert sorted(copied(store)) == [b'{"n": 1, "request": "a"}\n', b'{"n": 2, "request": "b"}\n']


def test_after_a_power_cut_new_rows_are_copied_whole(store: Directory, folder: Path) -> None:
    """The disk lost rows that the store has, and the service writes others in their place."""
    path, copies = folder / "labelled" / f"{DAY}.jsonl", RecordCopies(store, "shop", folder)
    write(folder, '{"n": 1}\n')
    copies.send()
    write(folder, '{"n": 2}\n{"n": 3}\n')
    copies.send()
    copies.close()
    path.write_text('{"n": 1}\n{"n"\n')
    write(folder, '{"n": 42}\n')
    for _ in range(2):  # a restart, and one more
        copies = RecordCopies(store, "shop", folder)
        copies.send()
        copies.close()
    lines = b"".join(copied(store)).splitlines()
    assert [*map(lines.count, (b'{"n": 1}', b'{"n": 2}', b'{"n": 3}', b'{"n": 42}'))] == [1, 1, 1, 1], lines


def test_a_row_that_a_person_removes_costs_no_other(store: Directory, folder: Path) -> None:
    path, copies = folder / "labelled" / f"{DAY}.jsonl", RecordCopies(store, "shop", folder)
    write(folder, '{"n": 1}\n{"user": "ann"}\n{"n": 3}\n')
    copies.send()
    (folder / "edited").write_text('{"n": 1}\n{"n": 3}\n')
    (folder / "edited").replace(path)
    write(folder, '{"n": 4}\n{"n": 5}\n')
    copies.send()
    lines = b"".join(copied(store)).splitlines()
    assert {b'{"n": 4}', b'{"n": 5}'} < {*lines} and all(json.loads(line) for line in lines), "none lost, none torn"


def test_a_file_of_another_name_stops_no_copy(store: Directory, folder: Path) -> None:
    copies = RecordCopies(store, "shop", folder)
    write(folder, '{"n": 1}\n')
    copies.send()
    write(folder, '{"n": 2}\n')
    (folder / "labelled" / f"{DAY}.jsonl").rename(folder / "labelled" / f"{DAY} (old).jsonl")
    write(folder, '{"n": 3}\n')
    write(folder, '{"n": 4}\n', "2026-11-02")
    write(folder, "a note\n", "#notes")
    (folder / "labelled" / "2026-11-03.jsonl").symlink_to("nowhere")
    copies.send()
    assert sorted(copied(store)) == [b'{"n": 1}\n', b'{"n": 2}\n', b'{"n": 3}\n'], "the renamed file is the same file"
    assert copied(store, "2026-11-02") == [b'{"n": 4}\n']


def test_a_file_that_cannot_be_read_holds_up_no_other(
    store: Directory, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row of a later day was copied, for as long as the service ran."""
    copies, opened = RecordCopies(store, "shop", folder), Path.open

    def broken(self: Path, mode: str = "r") -> IO[bytes]:
        if self.name == f"{DAY}.jsonl" and mode == "rb":
            raise OSError(errno.EIO, "Input/output error")
        return opened(self, mode)  # type: ignore[return-value]

    write(folder, '{"n": 1}\n')
    write(folder, '{"n": 2}\n', "2026-11-02")
    with monkeypatch.context() as patch, pytest.raises(StoreError, match=f"{DAY}.jsonl cannot be read .* repair it"):
        patch.setattr(Path, "open", broken)
        copies.send()
    assert copied(store, "2026-11-02") == [b'{"n": 2}\n'] and not copied(store)
    copies.send()
    assert copied(store) == [b'{"n": 1}\n']


@pytest.mark.parametrize("backup", [False, True])
def test_a_store_that_was_emptied_or_restored_gets_its_copies_again(
    backup: bool, store: Directory, folder: Path
) -> None:
    """The service knew what it had copied, and never looked again: the rows were lost to nights on other machines."""
    copies, place = RecordCopies(store, "shop", folder), store.path / PREFIX
    write(folder, '{"n": 1}\n')
    copies.send()
    shutil.copytree(place, folder / "backup")
    write(folder, '{"n": 2}\n')
    write(folder, '{"n": 3}\n', "2026-11-02")
    copies.send()
    shutil.rmtree(place)
    if backup:
        shutil.copytree(folder / "backup", place)
    copies.send()
    assert b"".join(copied(store)) == b'{"n": 1}\n{"n": 2}\n' and copied(store, "2026-11-02") == [b'{"n": 3}\n']


def test_a_copy_says_if_it_was_changed(store: Directory, folder: Path) -> None:
    write(folder, '{"n": 1}\n')
    RecordCopies(store, "shop", folder).send()
    (key,) = store.keys(PREFIX)
    assert check_object(key, b'{"n": 1}\n') == b'{"n": 1}\n'
    with pytest.raises(DataError, match="cut off"):
        check_object(key, b'{"n": 1')


def test_of_two_servers_of_one_home_one_makes_the_copies(store: Directory, folder: Path) -> None:
    first, second = RecordCopies(store, "shop", folder), RecordCopies(store, "shop", folder)
    write(folder, '{"n": 1}\n')
    first.send()
    write(folder, '{"n": 2}\n')
    second.send()
    assert copied(store) == [b'{"n": 1}\n']
    first.close()
    second.send()
    assert copied(store) == [b'{"n": 1}\n', b'{"n": 2}\n']


def test_a_night_on_another_machine_collects_them(store: Directory, folder: Path, tmp_path: Path) -> None:
    columns = Columns(user="u", item="i", time="t", label="y")
    order, records = plan(columns, Calendar(start=DAY)), ServingLog(folder, plan(columns, Calendar(start=DAY)))
    copies = RecordCopies(store, "shop", folder)
    for number in range(3):
        at = datetime(2026, 11, 1, number, tzinfo=UTC).isoformat()
        served = ScoredRequest("v", ScoreRequest(["ann"], [number]), at, [0.5], [0.5], [number % 2])
        records.write_labelled([(f"r{number}", served, [0])])
        records.flush()
        copies.send()
    with lake(tmp_path / "other") as warehouse:
        source = Files(f"{store.path}/{PREFIX}/{{period}}/*.jsonl")
        landing = land_period(warehouse, source, order, period(order.periods, 0))
        asked = "SELECT item, label FROM logs WHERE version = ? ORDER BY item"
        found = warehouse.connection.execute(asked, [landing.version]).fetchall()
    assert found == [("0", 0.0), ("1", 1.0), ("2", 0.0)]
