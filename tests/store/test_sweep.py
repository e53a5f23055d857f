"""Sweeping removes what nobody needs, never what somebody does, and never while a night is under way."""

from __future__ import annotations

import contextlib

import pytest

from tasks.store import blobs, lease, manifests, registry, work
from tasks.store.sweep import sweep, unneeded
from tests.store.faulty import HOWS, Crash, FaultyStore, How
from tests.store.memory import Memory
from tests.store.worlds import PIPELINE, act, check_invariants, kept, promoted, published

KEY = "a" * 64


def world() -> Memory:
    store = Memory()
    first = published(store, 0, None)
    promoted(store, first)
    second = published(store, 1, first)
    promoted(store, second)
    published(store, 1, first, salt="late")  # `second` is superseded, but serves
    return store


def test_nothing_is_unneeded_in_a_sound_store() -> None:
    store = world()
    assert unneeded(store) == unneeded(store, "dropped") == ()


def test_orphans_go_and_unfinished_work_stays_until_dropped() -> None:
    store = world()
    before = dict(store.held)
    orphan = blobs.put(store, b"a crash left this")
    store.create("probe/left", b"1")
    half = kept(store, "half a night")
    work.finish(store, PIPELINE, KEY, "retrain", half.model_dump())
    done = manifests.current(store, PIPELINE, 1).checkpoints["A"]  # type: ignore[union-attr]
    work.finish(store, PIPELINE, "b" * 64, "retrain", done.model_dump())
    assert unneeded(store) == ("probe/left", blobs.key_of(orphan))
    dropped = unneeded(store, "dropped")
    assert dropped[0] == work.key_of(PIPELINE, KEY, "retrain") and len(dropped) == 5
    assert sweep(store, "ann", 0.0, work="dropped").removed == dropped
    assert work.done(store, PIPELINE, KEY, "retrain") is None
    assert work.done(store, PIPELINE, "b" * 64, "retrain") == done.model_dump()  # of a finished night: costs nothing
    for key in (work.key_of(PIPELINE, "b" * 64, "retrain"), lease.SWEEP):
        del store.held[key]
    assert store.held == before
    check_invariants(store)


def test_a_night_and_a_sweep_exclude_each_other() -> None:
    store = world()
    orphan = blobs.put(store, b"soon to be named")
    mine = lease.take(store, PIPELINE, "night", 0.0, 60)
    assert mine
    swept = sweep(store, "ann", 1.0)
    assert swept.removed == () and "is held by night" in swept.busy
    assert blobs.get(store, orphan)
    lease.release(store, mine)
    broom = lease.take_key(store, lease.SWEEP, "ben", 2.0, 60)
    assert broom and lease.take(store, PIPELINE, "night", 3.0, 60) is None
    assert sweep(store, "ann", 3.0).busy == "another sweep is under way"
    lease.release(store, broom)
    assert lease.take(store, PIPELINE, "night", 4.0, 60)  # the refused one left nothing behind
    assert sweep(store, "ann", 100.0).removed == (blobs.key_of(orphan),)  # and the dead do not count


def test_a_damaged_record_stops_the_sweep_until_it_is_mended() -> None:
    store = world()
    first = manifests.current(store, PIPELINE, 0)
    orphan = blobs.put(store, b"orphan")
    key = manifests.key_of(PIPELINE, 1, 2)
    store.held[key] = store.held[key][:100]
    with pytest.raises(ValueError, match=r"nothing was swept: .*000001/0002.*Run these nights again"):
        sweep(store, "ann", 0.0)
    assert blobs.get(store, orphan)
    published(store, 1, first, salt="again")
    assert blobs.key_of(orphan) in sweep(store, "ann", 1.0).removed
    entry = registry.entry_key(PIPELINE, 1)
    store.held[entry] = store.held[entry][:50]
    with pytest.raises(ValueError, match="changed or cut off"):
        sweep(store, "ann", 2.0)


@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_of_a_sweep(how: How) -> None:
    at = 1
    while True:
        store = world()
        work.finish(store, PIPELINE, KEY, "retrain", kept(store, "half a night").model_dump())
        faulty = FaultyStore(store, at, how)
        with contextlib.suppress(OSError, Crash):
            sweep(faulty, "ann", 0.0, work="dropped")
        check_invariants(store)
        found = work.done(store, PIPELINE, KEY, "retrain")
        assert found is None or blobs.get(store, str(found["weights"]))  # a record never outlives its blobs
        assert sweep(store, "ann", 4000.0, work="dropped").busy == ""
        assert unneeded(store, "dropped") == ()
        if faulty.calls < at:
            return
        at += 1


def test_a_lagging_listing_costs_no_file() -> None:
    """A listing that has not yet seen the newest night and the newest promotion: what they name stays."""
    store = world()
    newest = published(store, 2, manifests.current(store, PIPELINE, 1))
    registry.promote(store, PIPELINE, registry.draft(newest, "B", act()), 2)

    class Lagging(Memory):
        def keys(self, prefix: str):  # type: ignore[no-untyped-def]
            return (k for k in super().keys(prefix) if "nights/000002" not in k and "00000003" not in k)

    assert sweep(Lagging(store.held), "ann", 0.0).removed == ()
    check_invariants(store)
