"""Leases, finished work, notes and overrides."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from nightloop.tasks.objects import blobs, lease
from nightloop.tasks.record import step_cache, timings
from nightloop.tasks.record.overrides import Override, read_override, record_override
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore, How
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, published

KEY = "a" * 64


def test_one_writer_at_a_time() -> None:
    store = Memory()
    mine = lease.take_lease(store, PIPELINE, "run 1", 100.0, 60)
    assert mine and mine.expires == 160.0
    assert lease.take_lease(store, PIPELINE, "run 2", 159.0, 60) is None
    assert lease.take_lease(store, PIPELINE, "run 1", 110.0, 60)  # its own, again
    assert lease.renew_lease(store, mine, 150.0, 60)
    assert lease.take_lease(store, PIPELINE, "run 2", 205.0, 60) is None
    theirs = lease.take_lease(store, PIPELINE, "run 2", 211.0, 60)  # run 1 showed no sign of life
    assert theirs
    assert lease.renew_lease(store, mine, 212.0, 60) is None and not lease.release_lease(store, mine)  # run 1 is told
    assert lease.release_lease(store, theirs) and lease.take_lease(store, PIPELINE, "run 3", 213.0, 60)
    assert lease.take_lease(store, "other", "run 4", 213.0, 60)


def test_a_lease_that_was_damaged_or_makes_no_sense() -> None:
    store = Memory()
    lease.take_lease(store, PIPELINE, "run 1", 0.0, 60)
    store.held[lease.lease_key(PIPELINE)] = b"{}"
    with pytest.raises(ValueError, match="If no run is active, remove it"):
        lease.take_lease(store, PIPELINE, "run 2", 0.0, 60)
    with pytest.raises(ValueError, match="positive number of seconds"):
        lease.take_lease(store, PIPELINE, "run 2", 0.0, -1)


@pytest.mark.parametrize("how", HOWS)
def test_no_fault_gives_a_lease_to_two(how: How) -> None:
    for at in range(1, 6):
        store = Memory()
        try:
            mine = lease.take_lease(FaultyStore(store, at, how), PIPELINE, "run 1", 0.0, 60)
        except (OSError, Crash):
            mine = None
        theirs = lease.take_lease(store, PIPELINE, "run 2", 1.0, 60)
        assert not (mine and theirs)
        assert lease.take_lease(store, PIPELINE, "run 1", 62.0, 60) or theirs  # and nobody is locked out for ever


class Interrupted(FaultyStore):
    """Ctrl-C comes just after call number `at`, and once."""

    def _call(self, what: str, act: Callable[[], Any]) -> Any:
        done = act()
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return done


@pytest.mark.parametrize("taken", [False, True])
def test_an_interrupt_at_any_call_leaves_the_lease_free(taken: bool) -> None:
    for at in range(1, 20):
        store = Memory()
        if taken:
            lease.take_lease(store, PIPELINE, "killed", -100.0, 60)
        interrupted = Interrupted(store, at, "fail")
        take = partial(lease.take_lease, interrupted, PIPELINE, "run 1", 0.0, 60)
        with (
            suppress(KeyboardInterrupt),
            lease.hold_lease(interrupted, lease.lease_key(PIPELINE), "run 1", take) as mine,
        ):
            assert mine and not lease.take_lease(store, PIPELINE, "run 2", 1.0, 60)
        assert lease.take_lease(store, PIPELINE, "run 2", 1.0, 60), f"after call {at}"
        if interrupted.calls < at:
            return  # every call was interrupted once
    pytest.fail("more calls than expected")


def test_an_error_of_the_store_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    broken = FaultyStore(Memory(), 1, "fail")
    take = partial(lease.take_lease, broken, PIPELINE, "run 1", 0.0, 60)
    with pytest.raises(OSError, match="injected"), lease.hold_lease(broken, lease.lease_key(PIPELINE), "run 1", take):
        pass
    assert not caplog.records


def test_finished_work() -> None:
    store = Memory()
    assert step_cache.cached_result(store, PIPELINE, KEY, "retrain") is None
    assert step_cache.store_result(store, PIPELINE, KEY, "retrain", {"weights": "x"}) == {"weights": "x"}
    assert step_cache.cached_result(store, PIPELINE, KEY, "retrain") == {"weights": "x"}
    assert step_cache.store_result(store, PIPELINE, KEY, "retrain", {"weights": "y"}) == {
        "weights": "x"
    }  # the first is right
    place = step_cache.step_result_key(PIPELINE, KEY, "retrain")
    for damage in (b"", store.held[place][:9], store.held[place].replace(b"x", b"y")):
        store.held[place] = damage
        assert step_cache.cached_result(store, PIPELINE, KEY, "retrain") is None
        assert step_cache.store_result(store, PIPELINE, KEY, "retrain", {"weights": "x"}) == {"weights": "x"}
    for bad in ("../../x", "a b", "'"):
        with pytest.raises(ValueError, match="is not a key"):
            step_cache.cached_result(store, PIPELINE, KEY, bad)


def test_work_whose_blobs_are_damaged_is_done_again() -> None:
    store = Memory()
    sha = blobs.put(store, b"weights")
    for damage in (b"other", None):
        step_cache.store_result(store, PIPELINE, KEY, "retrain", {"weights": sha})
        assert step_cache.cached_result(store, PIPELINE, KEY, "retrain")
        store.held.pop(blobs.blob_key(sha))
        if damage:
            store.held[blobs.blob_key(sha)] = damage
        assert step_cache.cached_result(store, PIPELINE, KEY, "retrain") is None
        assert blobs.put(store, b"weights") == sha


def test_notes_may_be_missing() -> None:
    store = Memory()
    made = published(store, 0, None)
    assert timings.read_timings(store, made) is None
    assert timings.write_timings(store, made, {"seconds": {"A": 1.5}}) and not timings.write_timings(
        store, made, {"seconds": {"A": 9.0}}
    )
    assert timings.read_timings(store, made) == {"seconds": {"A": 1.5}}
    key = next(k for k in store.held if "/notes/" in k)
    store.held[key] = b"x"
    assert timings.read_timings(store, made) is None


def test_overrides_need_a_reason_and_stand() -> None:
    store = Memory()
    decided = Override(kind="accept", by="ann", reason="the sale was real", when="2026-01-07")
    assert read_override(store, PIPELINE, (6, 2, "ab" * 32)) is None
    assert record_override(store, PIPELINE, (6, 2, "ab" * 32), decided) == decided
    assert (
        record_override(store, PIPELINE, (6, 2, "ab" * 32), decided.model_copy(update={"when": "2026-01-08"}))
        == decided
    )
    assert (
        read_override(store, PIPELINE, (6, 2, "ab" * 32)) == decided
        and read_override(store, PIPELINE, (6, 3, "ab" * 32)) is None
    )
    with pytest.raises(ValueError, match="accept by ann, 2026-01-07: the sale was real"):
        record_override(store, PIPELINE, (6, 2, "ab" * 32), decided.model_copy(update={"kind": "skip"}))
    for empty in ({"reason": " "}, {"by": ""}):
        with pytest.raises(ValueError, match="needs a reason and the name"):
            record_override(store, PIPELINE, (7, 1, "ab" * 32), decided.model_copy(update=empty))
    with pytest.raises(ValueError, match="a period is 0 to"):
        record_override(store, PIPELINE, (-1, 1, "ab" * 32), decided)
    store.held["pipelines/shop/overrides/000006-0002-" + "ab" * 8 + ".json"] = b"{}"
    with pytest.raises(ValueError, match="changed or cut off"):
        read_override(store, PIPELINE, (6, 2, "ab" * 32))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Any]]:
    """What others do while a run waits: actions with the time of each, in seconds. Sleeping passes the time at once."""
    passed, actions = [0.0], []

    def sleep(seconds: float) -> None:
        passed[0] += seconds
        while actions and actions[0][0] <= passed[0]:
            actions.pop(0)[1]()

    monkeypatch.setattr(lease, "_ticks", lambda: passed[0])
    monkeypatch.setattr(lease, "time", SimpleNamespace(sleep=sleep))  # not that of other threads
    return actions


def test_the_lease_of_a_run_that_was_killed_is_waited_for(
    at: list[tuple[float, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    store = Memory()
    assert lease.take_lease(store, PIPELINE, "killed", 1000.0, 60)
    mine = lease.wait_for_lease(store, PIPELINE, "next", 1010.0, 60)
    assert mine and 1060.0 + 60 <= mine.expires < 1060.0 + 60 + 2 * lease.LOOK
    assert "is held by the run killed; its lease ends in 50 s unless that run renews it. This run waits" in caplog.text
    assert len(caplog.records) == 1


def test_a_run_that_renews_its_lease_is_alive_and_not_waited_for(at: list[tuple[float, Any]]) -> None:
    store = Memory()
    held = lease.take_lease(store, PIPELINE, "alive", 1000.0, 60)
    assert held
    at.append((20.0, lambda: lease.renew_lease(store, held, 1020.0, 60)))
    at.append((25.0, lambda: pytest.fail("one renewal is enough")))
    assert lease.wait_for_lease(store, PIPELINE, "next", 1000.0, 60) is None


def test_a_run_that_ends_or_is_followed_by_a_third_ends_the_wait(at: list[tuple[float, Any]]) -> None:
    store = Memory()
    held = lease.take_lease(store, PIPELINE, "ends", 1000.0, 60)
    assert held
    at.append((5.0, lambda: lease.release_lease(store, held)))
    mine = lease.wait_for_lease(store, PIPELINE, "next", 1000.0, 60)
    assert mine and mine.expires == 1065.0 and lease.release_lease(store, mine)
    assert lease.take_lease(store, PIPELINE, "killed", 2000.0, 10)
    at.append((15.0, lambda: lease.take_lease(store, PIPELINE, "third", 2010.0, 60)))  # the moment when it expires
    assert lease.wait_for_lease(store, PIPELINE, "next", 2000.0, 60) is None


def test_a_lease_that_a_wrong_clock_made_is_not_waited_for(at: list[tuple[float, Any]]) -> None:
    store = Memory()
    assert lease.take_lease(store, PIPELINE, "from the future", 1e9, 60)
    assert lease.wait_for_lease(store, PIPELINE, "next", 1000.0, 60) is None
