"""Owners: a catalog removes files of a data place only where it is alone there, and has been for long enough."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nightloop.tasks.resources
from nightloop.tasks.lake.catalog_marks import leave_mark, removal_obstacle
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.versions import compact_lake
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.settings import Settings
from tests.lake.make_lake import NAMES, SIMPLE, day, rows

WEEK = timedelta(days=7)
LATER = datetime.now(UTC) + timedelta(days=1)


def seen(settings: Settings, before: datetime = LATER) -> str:
    """What stands in the way of a removal, after the lake was opened as nights do it."""
    with Warehouse.open(settings, "pond") as warehouse:
        leave_mark(warehouse, settings, "pond")
        return removal_obstacle(warehouse, settings, "pond", before)


def filled(settings: Settings) -> None:
    with Warehouse.open(settings, "pond") as warehouse:
        leave_mark(warehouse, settings, "pond")
        land(warehouse, day(0), rows(*SIMPLE), NAMES)


def elsewhere(home: Path, data: Path) -> Settings:
    return Settings(home=home, data=str(data))


def linked(home: Path, data: Path) -> Settings:
    """A lake whose directory was moved to another disk, and is a link now."""
    if not (home / "lake" / "pond").is_symlink():
        shutil.move(home / "lake" / "pond", data)
        (home / "lake" / "pond").symlink_to(data)
    return Settings(home=home)


def test_a_lake_within_its_home_is_its_catalogs_own_and_so_is_that_of_a_copy(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    filled(Settings(home=home))
    assert seen(Settings(home=home), datetime.now(UTC) - WEEK) == ""
    shutil.copytree(home, copy)
    for place in (copy, home):
        assert seen(Settings(home=place), datetime.now(UTC) - WEEK) == ""
    shutil.rmtree(copy / "lake" / "pond")
    (copy / "lake" / "pond").symlink_to(home / "lake" / "pond")
    for place in (copy, home):
        assert "another catalog has files there" in seen(Settings(home=place))


def test_a_mark_that_is_no_text_any_more_is_written_again(tmp_path: Path) -> None:
    """As a power cut may leave it: every command that opens the lake ended with a traceback."""
    filled(settings := Settings(home=tmp_path))
    (mark,) = (tmp_path / "lake" / "pond" / "_catalogs").iterdir()
    mark.write_bytes(b"\xff\x00")
    assert seen(settings, datetime.now(UTC) - WEEK) == ""


def test_a_catalog_that_uses_the_lake_of_another_home_is_seen_there(tmp_path: Path) -> None:
    home, other = Settings(home=tmp_path / "home"), elsewhere(tmp_path / "other", tmp_path / "home" / "lake")
    filled(home)
    assert seen(home) == ""
    filled(other)
    for settings in (home, other):
        assert "another catalog has files there" in seen(settings), settings.home
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "home", moved)
    assert seen(Settings(home=moved)) == "", "nobody else uses the copy"


def test_files_that_the_lake_did_not_write_are_never_removed(tmp_path: Path) -> None:
    """DuckLake takes every Parquet file below its directory for one of its own."""
    settings = elsewhere(tmp_path / "home", tmp_path / "data")
    filled(settings)
    theirs = tmp_path / "data" / "pond" / "raw" / "2026-01-01.parquet"
    theirs.parent.mkdir()
    pq.write_table(pa.table({"user": ["ann"]}), theirs)
    os.utime(theirs, (1.7e9, 1.7e9))
    with Warehouse.open(settings, "pond") as warehouse:
        with pytest.raises(ValueError, match=r"files that this lake did not write, the first is .*2026-01-01\.parquet"):
            compact_lake(warehouse, datetime.now(UTC))
        assert theirs.exists()
        theirs.rename(tmp_path / "2026-01-01.parquet")
        compact_lake(warehouse, datetime.now(UTC))


def test_a_copy_or_another_lake_below_the_data_directory_is_not_removed(tmp_path: Path) -> None:
    """Their files look like the lake's own, but for their place: `NIGHTLOOP_DATA` of another home, or a backup."""
    data = tmp_path / "data"
    outer = elsewhere(tmp_path / "outer", data)
    many = rows(*((f"user {n}", n, n, 1, "web", 1.0) for n in range(500)))  # so many that they go to a file
    with Warehouse.open(outer, "pond") as warehouse:
        land(warehouse, day(0), many, NAMES)
    (own,) = data.rglob("*.parquet")
    for copy in ("backup", "main/landed/backup", "main/landed/period=0/old"):
        place = data / "pond" / copy / "main" / "landed" / "period=0" / "version=1" / own.name
        place.parent.mkdir(parents=True)
        shutil.copy(own, place)
        with Warehouse.open(outer, "pond") as warehouse, pytest.raises(ValueError, match="did not write, the first is"):
            compact_lake(warehouse, LATER)
        assert place.exists()
        shutil.rmtree(data / "pond" / copy)
    for copy in ("period=0.bak", "period=0 (copy)", "old=1"):
        place = own.parents[2] / copy / "version=1" / own.name
        place.parent.mkdir(parents=True)
        shutil.copy(own, place)
        with Warehouse.open(outer, "pond") as warehouse, pytest.raises(ValueError, match="did not write, the first is"):
            compact_lake(warehouse, LATER)
        assert place.exists()
        shutil.rmtree(place.parents[1])
    with Warehouse.open(elsewhere(tmp_path / "inner", data / "pond"), "main") as warehouse:
        land(warehouse, day(0), many, NAMES)
    (inner,) = (data / "pond" / "main" / "main").rglob("*.parquet")
    with Warehouse.open(outer, "pond") as warehouse, pytest.raises(ValueError, match="did not write, the first is"):
        compact_lake(warehouse, LATER)
    assert inner.exists()
    shutil.rmtree(data / "pond" / "main" / "main")
    orphan = own.with_name("ducklake-01a22bbb-9436-756c-8344-69f7fface9e2.parquet")
    shutil.copy(own, orphan)
    with Warehouse.open(outer, "pond") as warehouse:
        compact_lake(warehouse, LATER)
    assert own.exists() and not orphan.exists(), "what a writer of this lake left is still removed"


@pytest.mark.parametrize("place", [elsewhere, linked])
def test_the_catalog_of_a_copied_home_removes_nothing_of_the_first(
    place: Callable[[Path, Path], Settings], tmp_path: Path
) -> None:
    home, data, copy = tmp_path / "home", tmp_path / "data", tmp_path / "copy"
    first = elsewhere(home, data) if place is elsewhere else Settings(home=home)
    filled(first)
    first = place(home, data)
    assert seen(first) == "", "it is alone"
    assert "only since" in seen(first, datetime.now(UTC) - WEEK), "nobody else had time to be seen"
    shutil.copytree(home, copy, symlinks=True)
    second = place(copy, data)
    for settings in (second, first, second):
        assert "another catalog has files there" in seen(settings)
    (gone,) = [m for m in (data.parent if place is linked else data).rglob("*.txt") if str(copy) in m.read_text()]
    gone.unlink()
    assert seen(first) == ""


def test_maintain_leaves_the_files_of_a_place_that_two_catalogs_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nightloop.flows.maintain import maintain
    from tests.flows.tiny_pipeline import make, plain, run

    plain(monkeypatch)
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(*range(8))
    monkeypatch.setenv("NIGHTLOOP_DATA", str(tmp_path / "data"))
    run(tiny, 1)
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    run(tiny, 2)
    for file in (tmp_path / "data").rglob("*"):
        os.utime(file, (1.7e9, 1.7e9))
    kept = sorted((tmp_path / "data").rglob("*.parquet"))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "copy"))
    run(tiny, 2)
    said = maintain(str(tiny.path), grace_days=0)
    assert any("another catalog has files there too" in line for line in said), said
    assert {*kept} <= {*(tmp_path / "data").rglob("*.parquet")}
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    run(tiny, 3)
    assert nightloop.tasks.resources.open_store() and sorted(tiny.chain()) == [1, 2, 3]
