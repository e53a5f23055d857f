"""Copies of records: the same answers with fewer reads; damaged copies and damaged records are never used."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.checksum import seal
from nightloop.tasks.objects.copies import with_copies
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.record import manifest_store

NIGHT = "pipelines/shop/nights/000001/0001.json"
COPIES = "pipelines/shop/copies"


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    """A store with a night, a blob, and what may change: the champion."""
    made = Directory(tmp_path)
    made.create(NIGHT, seal(b"{}"))
    made.create("pipelines/shop/champion.json", seal(b"{}"))
    return made


def test_a_record_that_was_read_once_comes_from_its_copy(store: Directory, tmp_path: Path) -> None:
    first, sha = with_copies(store, "shop"), blobs.put(store, b"table")
    champion = first.read("pipelines/shop/champion.json")
    assert first.read(NIGHT) is not None and blobs.get(first, sha) == b"table" and champion is not None
    first.save()
    (tmp_path / NIGHT).unlink()
    second = with_copies(store, "shop")
    assert second.read(NIGHT) == (seal(b"{}"), "") and blobs.get(second, sha) == b"table"
    assert second.read("pipelines/shop/champion.json") == champion  # with its tag: it was read from the store itself
    assert set(second.copies) == {NIGHT, blobs.blob_key(sha)}


def test_nothing_is_written_if_nothing_is_new(store: Directory) -> None:
    for _ in range(2):
        seen = with_copies(store, "shop")
        seen.read(NIGHT)
        seen.save()
        written = store.read(COPIES)
    seen.save()
    assert store.read(COPIES) == written


@pytest.mark.parametrize("data", [b"", b"x" * 100])
def test_damaged_copies_are_not_used_and_are_made_again(
    data: bytes, store: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    store.create(COPIES, data)
    seen = with_copies(store, "shop")
    assert "damaged" in caplog.text and seen.read(NIGHT) == store.read(NIGHT)
    seen.save()
    assert set(with_copies(store, "shop").copies) == {NIGHT}


def test_a_damaged_record_is_never_copied(store: Directory, tmp_path: Path) -> None:
    (tmp_path / NIGHT).write_bytes(b"half of a rec")
    seen = with_copies(store, "shop")
    seen.read(NIGHT)
    seen.save()
    assert store.read(COPIES) is None


def test_a_night_that_a_listing_leaves_out_is_found_by_its_key(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("pipelines/shop/nights/000002/0001.json", seal(b"{}"))
    assert manifest_store.newest_index(store, "shop", 1) == 2
    monkeypatch.setattr(Directory, "keys", lambda self, prefix: iter((NIGHT,)))
    assert manifest_store.listed_revisions(store, "shop") == {1: 1}
    assert manifest_store.newest_index(store, "shop", 1) == 2
    assert set(manifest_store.survey_chain(store, "shop", 1, 2)[1]) == {1, 2}  # both read, and neither is a manifest
