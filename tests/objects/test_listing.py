"""Listings of a directory: links are followed, and what cannot be seen is an error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.listing import files_below
from nightloop.tasks.objects.objects import Directory, open_objects
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.retention.garbage import collect_garbage
from tests.record.act_sequences import check_invariants, promoted, published


def a_store(path: Path) -> Directory:
    """Two nights and an orphan."""
    store = open_objects(Settings(store=str(path)))
    assert isinstance(store, Directory)
    first = published(store, 0, None)
    promoted(store, first)
    promoted(store, published(store, 1, first))
    blobs.put(store, b"nobody's")
    return store


@pytest.mark.parametrize(
    "folder",
    [
        "pipelines",
        "pipelines/shop",
        "pipelines/shop/nights",
        "pipelines/shop/log",
        "blobs",
        "pipelines/shop/nights/000001",
    ],
)
def test_a_folder_that_was_moved_to_another_disk_and_linked_is_seen_whole(tmp_path: Path, folder: str) -> None:
    store = a_store(tmp_path / "store")
    before = list(store.keys(""))
    place, elsewhere = tmp_path / "store" / folder, tmp_path / "disk"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    assert list(store.keys("")) == before
    assert len(collect_garbage(store, "ann", 0.0).removed) == 1
    check_invariants(store)
    elsewhere.rename(tmp_path / "unmounted")
    with pytest.raises(FileNotFoundError, match=r"is a symbolic link whose target does not exist.*mount the disk"):
        collect_garbage(store, "ann", 1000.0)
    (tmp_path / "unmounted").rename(elsewhere)
    check_invariants(store)


def test_an_empty_mount_point_is_no_proof(tmp_path: Path) -> None:
    store = a_store(tmp_path / "store")
    (tmp_path / "store" / "pipelines").rename(tmp_path / "disk")
    (tmp_path / "store" / "pipelines").mkdir()
    with pytest.raises(
        ValueError, match=r"begins at night 0 by its record, and the store does not show it: is its folder mounted"
    ):
        collect_garbage(store, "ann", 0.0)
    assert len(list(store.keys("blobs/"))) > 5
    for left in (tmp_path / "store" / "pipelines").rglob("*.json"):
        left.unlink()  # the sweep's lease
    (tmp_path / "store" / "pipelines").rmdir()
    (tmp_path / "disk").rename(tmp_path / "store" / "pipelines")
    check_invariants(store)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("folder", ["pipelines", "shop", "nights", "000001", "blobs"])
def test_a_folder_that_cannot_be_read_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, folder: str
) -> None:
    store, real = a_store(tmp_path / "store"), os.scandir

    def broken(path: object) -> object:
        if Path(str(path)).name == folder:
            raise OSError(number, os.strerror(number), str(path))
        return real(path)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(OSError, match=folder):
        collect_garbage(store, "ann", 0.0)
    monkeypatch.undo()
    assert not list(store.keys("trash/"))
    check_invariants(store)


def test_a_link_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "again").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="again is a symbolic link to a folder above it"):
        files_below(tmp_path)


def test_names_with_a_dot_are_the_stores_own(tmp_path: Path) -> None:
    (tmp_path / ".nfs").mkdir()
    (tmp_path / ".nfs" / "x").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".nfs0001").touch()
    (tmp_path / "a" / "b").touch()
    assert files_below(tmp_path) == ["a/b"] and files_below(tmp_path / "none") == []
