"""Copies of records: the same answers with fewer reads; damaged copies and damaged records are never used."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import pytest

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.checksum import seal
from nightloop.tasks.objects.copies import WithCopies, with_copies
from nightloop.tasks.objects.objects import S3, Directory, read_again
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store, promotion_log, promotions
from nightloop.tasks.record.night_context import walk_back
from nightloop.tasks.report import publish
from nightloop.tasks.schedule import backfill_steps
from tests.flows.tiny_pipeline import begin, raw_plan
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, promoted, published

NIGHT = "pipelines/shop/nights/000001/0001.json"
NEXT = "pipelines/shop/nights/000002/0001.json"
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
    store.create(NEXT, seal(b"{}"))
    first.read(NEXT)
    first.save()
    (tmp_path / NIGHT).unlink()
    second = with_copies(store, "shop")
    assert second.read(NIGHT) == (seal(b"{}"), "") and blobs.get(second, sha) == b"table"
    assert second.read("pipelines/shop/champion.json") == champion  # with its tag: it was read from the store itself
    assert set(second.copies) == {NIGHT, NEXT, blobs.blob_key(sha)}


def test_copies_prove_nothing_in_a_store_that_was_restored(caplog: pytest.LogCaptureFixture) -> None:
    """A copy of a night or of an entry that the store no longer has stopped every night, and the pointer was moved to it."""
    store = Memory.fresh()
    first = published(store, 0, None)
    promoted(store, first)
    restored = Memory(dict(store.held))  # from a backup of this moment
    promoted(store, published(store, 1, first))
    seen = with_copies(store, PIPELINE)
    assert set(manifest_store.read_chain(seen, PIPELINE, 0, 5)) == {0, 1}
    assert len(promotion_log.read_log(seen, PIPELINE)) == 2
    seen.save()
    restored.held[f"pipelines/{PIPELINE}/copies"] = store.held[f"pipelines/{PIPELINE}/copies"]  # replicated later
    before = dict(restored.held)
    assert set(manifest_store.read_chain(with_copies(restored, PIPELINE), PIPELINE, 0, 5)) == {0}
    assert [entry.number for entry in promotion_log.known_log(restored, PIPELINE)] == [1]
    assert restored.held == before and "another state of the store" in caplog.text
    other = published(restored, 1, first, salt="it went on otherwise")
    assert manifest_store.read_chain(with_copies(restored, PIPELINE), PIPELINE, 1, 1) == {1: other}
    newest = published(restored, 2, other)
    assert list(walk_back(restored, newest)) == [newest, other, first]  # the copies have another night 1


def test_a_new_process_walks_a_chain_without_a_read_a_night(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reads-365` counted in the process that had built the chain, and kept its manifests: a night alone made 371 more."""
    store, chain = Memory.fresh(), [None]
    for period in range(6):
        chain.append(published(store, period, chain[-1]))
    seen = with_copies(store, PIPELINE)
    assert set(manifest_store.read_chain(seen, PIPELINE, 0, 5)) == set(range(6))
    seen.save()
    reads: list[str] = []
    read = Memory.read
    monkeypatch.setattr(Memory, "read", lambda store, key: reads.append(key) or read(store, key))
    assert list(walk_back(Memory(store.held), chain[-1])) == chain[:0:-1]
    assert reads == [f"pipelines/{PIPELINE}/copies"]


def test_nights_of_another_chain_behind_a_gap_are_not_the_newest(store: Directory) -> None:
    store.create("pipelines/shop/nights/000009/0001.json", seal(b"{}"))
    assert manifest_store.newest_index(store, "shop", 1) == 1


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


def test_a_bad_read_is_read_again_over_another_connection() -> None:
    client = Mock()
    client.get_object.return_value = {"Body": BytesIO(b"x"), "ETag": "1"}
    assert read_again(WithCopies(S3("bucket", "", client), COPIES, {}), NIGHT) is not None
    client.close.assert_called_once()


def test_a_backfill_runs_a_damaged_night_whose_copy_is_whole(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    tiny = begin(tmp_path_factory, monkeypatch, 1, 2, 3)
    publish(tiny.plan)
    damaged = tiny.home / "home" / "store" / "pipelines" / "tiny" / "nights" / "000002" / "0001.json"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    when = datetime(2026, 1, 5, 2, tzinfo=UTC)
    steps = backfill_steps(tiny.plan, "", tiny.name(3), "missing", when)
    assert [step.period for step in steps if step.action == "run"] == [2, 3]  # the next one builds on it


def test_an_act_by_hand_is_on_a_nights_newest_revision_though_the_listing_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Memory.fresh()
    published(store, 0, None)
    newest = published(store, 0, None, salt="late rows")
    plan = Plan.model_validate(raw_plan(tmp_path, {"pipeline": PIPELINE, "pretrain_periods": 1}))
    listed = [key for key in store.held if not key.endswith("0002.json")]
    monkeypatch.setattr(Memory, "keys", lambda self, prefix: (key for key in listed if key.startswith(prefix)))
    assert promotions.newest_nights(store, plan) == (newest, 0)
