"""A bad read is no damage: it is read again. A read that lags, or never ends, ends all the same."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nightloop.tasks.objects import blobs, lease, probe, read_verified, retry
from nightloop.tasks.objects.objects import Objects, open_for_reading
from nightloop.tasks.objects.s3_client import open_object
from nightloop.tasks.objects.trash import RemovalRequest
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store, overrides, promotion_log, step_cache, timings
from nightloop.tasks.retention.garbage import collect_garbage, restore_objects
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, act, draft_entry, kept, promoted, published

KEY = "a" * 64


class Cut(Memory):
    """A store whose first reads of a key come back cut to half, or with one byte changed."""

    bad: dict[str, int]
    damage: Callable[[bytes], bytes]

    def read(self, key: str) -> tuple[bytes, str] | None:
        found = super().read(key)
        if found is None or self.bad.get(key, 0) == 0:
            return found
        self.bad[key] -= 1
        return self.damage(found[0]), found[1]


def cut(store: Memory, damage: Callable[[bytes], bytes], **bad: int) -> Cut:
    found = Cut(store.held)
    object.__setattr__(found, "bad", {key: bad.get("times", 1) for key in store.held})
    object.__setattr__(found, "damage", damage)
    return found


def world() -> Memory:
    """One of every record there is."""
    store = Memory.fresh()
    probe.mark_store(store, "here")
    first = published(store, 0, None)
    promoted(store, first)
    second = published(store, 1, first)
    promoted(store, second)
    step_cache.store_result(store, PIPELINE, KEY, "retrain", kept(store, "half a night").model_dump())
    timings.write_timings(store, second, {"seconds": {"A": 1.0}})
    decided = overrides.Override(kind="accept", by="ann", reason="a sale", when="2026-01-07")
    overrides.record_override(store, PIPELINE, (1, 1, "ab" * 32), decided)
    lease.take_lease(store, PIPELINE, "run 1", 0.0, 60)
    return store


def everything(store: Objects) -> list[Any]:
    """What every reader of a record says."""
    newest = manifest_store.current_manifest(store, PIPELINE, 1)
    assert newest is not None
    return [
        probe.check_format(store, "here"),
        newest,
        manifest_store.verified_manifest(store, PIPELINE, 0),
        manifest_store.predecessor(store, PIPELINE, 1, 0),
        manifest_store.manifest_by_hash(store, PIPELINE, newest.hash, 1),
        manifest_store.read_revision(store, PIPELINE, 1, 1),
        manifest_store.blob_damage(store, manifest_store.blobs_of(newest)),
        promotion_log.read_log(store, PIPELINE),
        promotion_log.read_champion(store, PIPELINE),
        step_cache.cached_result(store, PIPELINE, KEY, "retrain"),
        timings.read_timings(store, newest),
        overrides.read_override(store, PIPELINE, (1, 1, "ab" * 32)),
        lease.other_holder(store, lease.lease_key(PIPELINE), 1.0),
        blobs.get(store, newest.checkpoints["A"].weights),
    ]


DAMAGES = pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + b"?",
        lambda data: b"<html>busy</html>",
    ],
    ids=["half", "nothing", "a byte", "a proxy's page"],
)


@DAMAGES
def test_one_bad_read_of_every_record_changes_nothing(
    damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_verified, "PAUSES", (0.0, 0.0, 0.0))
    store = world()
    before = dict(store.held)
    expected = everything(store)
    for times in (1, 2, 3):
        for at in range(len(expected)):
            assert everything(cut(store, damage, times=times))[at] == expected[at], (at, times)
    assert store.held == before, "no record was thought damaged, removed or written again"


@DAMAGES
def test_one_bad_read_of_every_record_makes_a_sweep_remove_nothing(
    damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_verified, "PAUSES", (0.0, 0.0, 0.0))
    for times in (1, 2, 3):
        store = world()
        blobs.put(store, b"of no use to anybody")
        expected = collect_garbage(Memory(dict(store.held)), "ann", 100.0).removed
        assert len(expected) == 1
        assert collect_garbage(cut(store, damage, times=times), "ann", 100.0).removed == expected


def test_damage_that_stays_is_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_verified, "PAUSES", (0.0, 0.0, 0.0))
    store = world()
    with pytest.raises(ValueError, match="was changed or cut off"):
        manifest_store.verified_manifest(cut(store, lambda data: data[:50], times=99), PIPELINE, 1)


class Lagging(Memory):
    """A store whose reads do not show a key for so many reads after it was created."""

    lag: dict[str, int]

    def create(self, key: str, data: bytes) -> bool:
        done = super().create(key, data)
        if done:
            self.lag[key] = self.lag["reads"]
        return done

    def read(self, key: str) -> tuple[bytes, str] | None:
        if self.lag.get(key, 0) > 0:
            self.lag[key] -= 1
            return None
        return super().read(key)


def lagging(store: Memory, reads: int) -> Lagging:
    found = Lagging(store.held)
    object.__setattr__(found, "lag", {"reads": reads})
    return found


@pytest.mark.parametrize("reads", [1, 3, 1000])
def test_a_promotion_that_was_written_is_never_said_not_to_be(reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (retry, promotion_log):
        monkeypatch.setattr(module, "PAUSES", (0.0,) * 7)
    store = Memory.fresh()
    made = published(store, 0, None)
    slow = lagging(store, reads)
    entry = promotion_log.append_promotion(slow, PIPELINE, draft_entry(made, "A", act("ann")), 0)
    assert entry is not None and entry.number == 1
    assert promotion_log.read_log(store, PIPELINE) == [entry]


def test_a_lost_race_whose_winner_is_not_shown_is_no_lost_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion_log, "PAUSES", (0.0,) * 7)
    store = Memory.fresh()
    made = published(store, 0, None)
    slow = lagging(store, 1000)
    slow.create(promotion_log.entry_key(PIPELINE, 1), b"theirs, not to be seen yet")
    with pytest.raises(TimeoutError, match="exists and cannot be read, so it is not known which run wrote it"):
        promotion_log.append_promotion(slow, PIPELINE, draft_entry(made, "A", act("ann")), 0)


def test_a_store_that_overwrites_what_it_created_is_found_out() -> None:
    store = Memory.fresh()
    made = published(store, 0, None)

    class Perverse(Memory):
        def create(self, key: str, data: bytes) -> bool:
            if "/log/" in key:
                self.held[key] = promotion_log.seal_record(
                    draft_entry(made, "B", act("ben")).model_copy(update={"number": 1})
                )
                return True
            return super().create(key, data)

    with pytest.raises(RuntimeError, match="does not honour conditional writes"):
        promotion_log.append_promotion(Perverse(store.held), PIPELINE, draft_entry(made, "A", act("ann")), 0)


def test_a_blob_that_the_store_says_it_has_and_never_shows_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "PAUSES", (0.0,) * 7)
    assert blobs.put(lagging(Memory(), 1), b"weights")
    slow = lagging(Memory(), 1000)
    slow.create(blobs.blob_key(blobs.put(Memory(), b"weights")), b"weights")
    with pytest.raises(TimeoutError, match="a store must read its own writes"):
        blobs.put(slow, b"weights")


def test_a_pointer_that_cannot_be_moved_ends_and_the_promotion_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion_log, "PAUSES", (0.0,) * 7)
    store = Memory.fresh()
    first = published(store, 0, None)
    promoted(store, first)
    made = published(store, 1, first)

    class Stuck(Memory):
        def swap(self, key: str, data: bytes, tag: str) -> bool:
            return False

    entry = promotion_log.append_promotion(Stuck(store.held), PIPELINE, draft_entry(made, "B", act("ann")), 1)
    assert entry is not None and promotion_log.read_champion(store, PIPELINE) == entry


@contextmanager
def dripping(head: bytes, piece: bytes, pause: float, pieces: int = 200) -> Iterator[str]:
    """A server that answers any request with `head`, and then with a piece every so many seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(connection: socket.socket) -> None:
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(head)
                    for _ in range(pieces):
                        time.sleep(pause)
                        connection.sendall(piece)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


BODY = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 1000\r\n\r\n'


@pytest.mark.parametrize(
    ("head", "piece"),
    [(BODY, b"x"), (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"), (b"", b"")],
    ids=["body", "header", "silence"],
)
def test_an_answer_that_never_ends_has_a_deadline(
    head: bytes, piece: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DEADLINE", 0.6)
    with dripping(head, piece, 0.1) as endpoint:
        settings = Settings(store="s3://bucket/store", home=tmp_path, s3_endpoint=endpoint, s3_path_style=True)
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        began = time.monotonic()
        with pytest.raises(ConnectionError, match="does not answer"):
            open_for_reading(settings, keys)
        assert time.monotonic() - began < 10
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"s3://logs/day\.csv (could not be read|was cut off)"):
            open_object(settings, keys, "s3://logs/day.csv").read(1000)
        assert time.monotonic() - began < 10


def test_a_body_that_is_cut_off_is_asked_for_again(tmp_path: Path) -> None:
    with dripping(BODY + b"x" * 10, b"", 0.0, 1) as endpoint:
        settings = Settings(store="s3://bucket/store", home=tmp_path, s3_endpoint=endpoint, s3_path_style=True)
        with pytest.raises(ConnectionError, match="does not answer"):
            open_for_reading(settings, {"aws_access_key_id": "a", "aws_secret_access_key": "b"})


def in_trash(store: Memory, sha: str) -> str:
    (place,) = [key for key in store.held if key.startswith("trash/") and sha in key]
    return place


def cut_once(store: Memory, key: str) -> Cut:
    """The store, whose first read of this key comes back cut to half."""
    found = cut(store, lambda data: data[: len(data) // 2])
    found.bad.clear()
    found.bad[key] = 1
    return found


def test_a_bad_read_spoils_no_way_into_the_trash_and_none_back() -> None:
    """What was copied from a bad read could not be restored, and the good copy was removed behind it."""
    back = RemovalRequest("ben", 400.0)
    for moment in ("move", "move's copy", "restore", "damaged since", "damaged in the trash"):
        store = world()
        sha = blobs.put(store, b"weights that somebody misses later")
        place = f"trash/00000001/{blobs.blob_key(sha)}"
        moved = cut_once(store, {"move": blobs.blob_key(sha), "move's copy": place}.get(moment, "none"))
        assert collect_garbage(moved, "ann", 100.0).removed == (blobs.blob_key(sha),), moment
        assert in_trash(store, sha) == place
        if moment == "damaged since":
            store.held[blobs.blob_key(sha)] = b"weigh"
        if moment == "damaged in the trash":
            store.held[place] = b"weigh"
            assert restore_objects(store, None, back) == [] and place in store.held
            continue
        restored = restore_objects(cut_once(store, place if moment == "restore" else "none"), None, back)
        assert restored == [blobs.blob_key(sha)], moment
        assert blobs.get(store, sha) == b"weights that somebody misses later", moment


def test_what_is_damaged_in_the_store_is_not_moved_to_the_trash() -> None:
    store = world()
    sha = blobs.put(store, b"weights that somebody misses later")
    store.held[blobs.blob_key(sha)] = b"weigh"  # or a connection that cuts every read
    assert collect_garbage(store, "ann", 100.0).removed == ()
    assert blobs.blob_key(sha) in store.held
