"""Sweeping removes what nobody needs, never what somebody does, and never while a night is under way."""

from __future__ import annotations

import contextlib
import time

import pytest

from nightloop.tasks.objects import blobs, lease, pipelines, trash
from nightloop.tasks.record import manifest_store, promotion_log, step_cache
from nightloop.tasks.retention.garbage import collect_garbage, restore_objects, unneeded_keys
from nightloop.tasks.retention.needed_blobs import reads_of
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore, How
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, check_invariants, kept, night, promoted, published

KEY = "a" * 64


def world() -> Memory:
    store = Memory.fresh()
    first = published(store, 0, None)
    promoted(store, first)
    second = published(store, 1, first)
    promoted(store, second)
    published(store, 1, first, salt="late")  # `second` is superseded, but serves
    return store


def test_nothing_is_unneeded_in_a_sound_store() -> None:
    store = world()
    assert unneeded_keys(store) == unneeded_keys(store, "dropped") == ()


def test_orphans_go_and_unfinished_work_stays_until_dropped() -> None:
    store = world()
    before = dict(store.held)
    orphan = blobs.put(store, b"a crash left this")
    store.create("probe/left", b"1")
    half = kept(store, "half a night")
    step_cache.store_result(store, PIPELINE, KEY, "retrain", half.model_dump())
    done = manifest_store.current_manifest(store, PIPELINE, 1).checkpoints["A"]  # type: ignore[union-attr]
    step_cache.store_result(store, PIPELINE, "b" * 64, "retrain", done.model_dump())
    assert unneeded_keys(store) == ("probe/left", blobs.blob_key(orphan))
    dropped = unneeded_keys(store, "dropped")
    assert dropped[0] == step_cache.step_result_key(PIPELINE, KEY, "retrain") and len(dropped) == 5
    assert collect_garbage(store, "ann", 0.0, work="dropped").removed == dropped
    assert step_cache.cached_result(store, PIPELINE, KEY, "retrain") is None
    assert (
        step_cache.cached_result(store, PIPELINE, "b" * 64, "retrain") == done.model_dump()
    )  # of a finished night: costs nothing
    for key in (step_cache.step_result_key(PIPELINE, "b" * 64, "retrain"), lease.SWEEP):
        del store.held[key]
    aside = {key for key in store.held if key.startswith(("trash/", "removals/"))}
    assert {key.removeprefix("trash/00000001/") for key in aside if key.startswith("trash/")} == {*dropped}
    assert {key: data for key, data in store.held.items() if key not in aside} == before
    check_invariants(store)


def test_a_night_and_a_sweep_exclude_each_other() -> None:
    store = world()
    orphan = blobs.put(store, b"soon to be named")
    mine = lease.take_lease(store, PIPELINE, "night", 0.0, 60)
    assert mine
    swept = collect_garbage(store, "ann", 1.0)
    assert swept.removed == () and "held by the run night; its lease ends in 59 s" in swept.busy
    assert blobs.get(store, orphan)
    lease.release_lease(store, mine)
    broom = lease.take_key(store, lease.SWEEP, "ben", 2.0, 60)
    assert broom and lease.take_lease(store, PIPELINE, "night", 3.0, 60) is None
    assert "held by the run ben; its lease ends in 59 s" in collect_garbage(store, "ann", 3.0).busy
    lease.release_lease(store, broom)
    assert lease.take_lease(store, PIPELINE, "night", 4.0, 60)  # the refused one left nothing behind
    assert collect_garbage(store, "ann", 100.0).removed == (blobs.blob_key(orphan),)  # and the dead do not count


def test_a_damaged_record_stops_the_sweep_until_it_is_mended() -> None:
    store = world()
    first = manifest_store.current_manifest(store, PIPELINE, 0)
    orphan = blobs.put(store, b"orphan")
    key = manifest_store.manifest_key(PIPELINE, 1, 2)
    store.held[key] = store.held[key][:100]
    with pytest.raises(ValueError, match=r"nothing was removed: .*000001/0002.*Run these nights again"):
        collect_garbage(store, "ann", 0.0)
    assert blobs.get(store, orphan)
    published(store, 1, first, salt="again")
    assert blobs.blob_key(orphan) in collect_garbage(store, "ann", 1.0).removed
    entry = promotion_log.entry_key(PIPELINE, 1)
    store.held[entry] = store.held[entry][:50]
    with pytest.raises(ValueError, match="changed or cut off"):
        collect_garbage(store, "ann", 2.0)


@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_of_a_sweep(how: How) -> None:
    at = 1
    while True:
        store = world()
        step_cache.store_result(store, PIPELINE, KEY, "retrain", kept(store, "half a night").model_dump())
        faulty = FaultyStore(store, at, how)
        with contextlib.suppress(OSError, Crash):
            collect_garbage(faulty, "ann", 0.0, work="dropped")
        check_invariants(store)
        found = step_cache.cached_result(store, PIPELINE, KEY, "retrain")
        assert found is None or blobs.get(store, str(found["weights"]))  # a record never outlives its blobs
        assert collect_garbage(store, "ann", 4000.0, work="dropped").busy == ""
        assert unneeded_keys(store, "dropped") == ()
        if faulty.calls < at:
            return
        at += 1


class Partial(Memory):
    """A store whose listing leaves out the keys that hold one of these texts; reading finds them."""

    hidden: tuple[str, ...] = ()

    def keys(self, prefix: str):  # type: ignore[no-untyped-def]
        return (k for k in super().keys(prefix) if not any(text in k for text in self.hidden))


def partial(store: Memory, *hidden: str) -> Partial:
    found = Partial(store.held)
    object.__setattr__(found, "hidden", hidden)
    return found


@pytest.mark.parametrize(
    "hidden",
    [
        ("pipelines/",),
        (f"pipelines/{PIPELINE}/",),
        ("/nights/",),
        ("/nights/000001/",),
        ("/nights/000000/0001",),
        ("/log/",),
        ("/log/00000002",),
        ("/nights/000001/0002", "/log/00000001"),
    ],
)
def test_a_listing_that_is_not_whole_costs_no_file(hidden: tuple[str, ...]) -> None:
    store = world()
    orphan = blobs.put(store, b"nobody's")
    before = {key: data for key, data in store.held.items() if not key.startswith("sweep/")}
    with pytest.raises(ValueError, match=r"nothing was removed: the listing of the store leaves out \d+ records"):
        collect_garbage(partial(store, *hidden), "ann", 0.0)
    assert {key: data for key, data in store.held.items() if not key.startswith("sweep/")} == before
    assert collect_garbage(store, "ann", 1.0).removed == (blobs.blob_key(orphan),)


def test_records_that_are_gone_stop_the_sweep() -> None:
    """A disk that is not mounted, or an older copy of it: neither listing nor reading shows what is known to exist."""
    for gone, said in (
        ("/nights/", "begins at night 0 by its record, and the store does not show it"),
        ("/nights/000001/", "names a manifest of 2026-01-02 that the store does not show"),
        ("/log/00000002", "the promotion log lacks"),
    ):
        store = world()
        for key in [key for key in store.held if gone in key]:
            del store.held[key]
        with pytest.raises(ValueError, match=said):
            collect_garbage(store, "ann", 0.0)
        assert not [key for key in store.held if key.startswith("trash/")], gone


def test_a_store_without_a_complete_record_is_not_swept_until_a_person_confirms() -> None:
    store = world()
    blobs.put(store, b"nobody's")
    del store.held[pipelines.KEY]  # as an older release left it
    with pytest.raises(ValueError, match=r"no complete record of its pipelines .*--adopt"):
        collect_garbage(store, "ann", 0.0)
    first = manifest_store.current_manifest(store, PIPELINE, 1)
    published(store, 2, first)  # a night of this release does not make the record complete
    with pytest.raises(ValueError, match="no complete record"):
        collect_garbage(store, "ann", 0.0)
    with pytest.raises(ValueError, match=r"shows no pipeline other; it shows shop.*is mounted"):
        pipelines.adopt_pipelines(store, ["shop", "other"])
    with pytest.raises(ValueError, match=r"the store or its record also has shop; .* -shop"):
        pipelines.adopt_pipelines(store, [])
    with pytest.raises(ValueError, match="shop cannot be given up while the store shows it"):
        pipelines.adopt_pipelines(store, ["-shop"])
    assert pipelines.adopt_pipelines(store, ["shop "]) == {PIPELINE: (0,)}
    assert len(collect_garbage(store, "ann", 0.0).removed) == 1
    check_invariants(store)


def test_a_pipeline_that_the_record_does_not_name_stops_the_sweep() -> None:
    store = world()
    for key in [key for key in store.held if key.startswith(f"pipelines/{PIPELINE}/nights/")]:
        store.held[key.replace(PIPELINE, "copied")] = store.held[key]
    with pytest.raises(ValueError, match="shows copied, which its record of pipelines does not name"):
        collect_garbage(store, "ann", 0.0)


def test_a_chain_with_a_new_root_is_known_whole() -> None:
    """A shorter history moves the root down; while the new chain is made there is a gap, and both parts are known."""
    store = Memory.fresh()
    old = published(store, 5, None)
    published(store, 6, old)
    new = published(store, 2, None)
    published(store, 3, new)
    assert pipelines.first_nights(store, PIPELINE) == (2, 5)
    assert unneeded_keys(store) == ()
    for hidden in ("/nights/000005", "/nights/000002"):
        with pytest.raises(ValueError, match="leaves out"):
            collect_garbage(partial(store, hidden), "ann", 0.0)


def test_the_trash_keeps_for_the_grace_period_and_gives_back() -> None:
    store, day = world(), 86_400.0
    sha = blobs.put(store, b"nobody's")
    key = blobs.blob_key(sha)
    assert collect_garbage(store, "ann", 0.0).removed == (key,) and key not in store.held
    assert collect_garbage(store, "ann", 6 * day).deleted == () and "trash/00000001/" + key in store.held
    assert blobs.get(store, sha) == b"nobody's" and key in store.held, "whoever needs it brings it back"
    assert collect_garbage(store, "ann", 6.5 * day).removed == (key,)  # nobody named it: into the trash anew
    assert collect_garbage(store, "ann", 8 * day).deleted == (
        key,
    )  # the first removal's copy; the second keeps its own time
    assert blobs.get(store, sha) == b"nobody's"
    assert collect_garbage(store, "ann", 8.1 * day).removed == (key,)
    assert collect_garbage(store, "ann", 20 * day).deleted == (key, key)
    assert not [k for k in store.held if k.startswith("trash/")] and not list(trash.open_removals(store))
    with pytest.raises(FileNotFoundError, match=r"it was removed on 1970-01-09 by ann because no manifest.*removal 3"):
        blobs.get(store, sha)


def test_what_is_needed_by_then_is_brought_back_and_never_deleted() -> None:
    store, day = world(), 86_400.0
    newest = manifest_store.current_manifest(store, PIPELINE, 1)
    waiting = night(store, 2, newest, salt="frozen")  # its blobs are stored, its manifest is still to come
    assert len(collect_garbage(store, "ann", 0.0).removed) == 8
    assert manifest_store.create_manifest(store, waiting), "the writer found its blobs in the trash"
    check_invariants(store)
    for key in next(iter(trash.removals(store))).keys:
        store.held.pop(key, None)  # and were they lost again: the trash still has them
    swept = collect_garbage(store, "ann", 1 * day)
    assert len(swept.restored) >= 7
    check_invariants(store)
    assert collect_garbage(store, "ann", 30 * day).busy == ""
    check_invariants(store)


def test_restore_brings_everything_back() -> None:
    store = world()
    shas = [blobs.put(store, b"one"), blobs.put(store, b"two")]
    collect_garbage(store, "ann", 0.0)
    with pytest.raises(LookupError, match=r"no removal 9 is in the trash; there are: 1"):
        restore_objects(store, 9, trash.RemovalRequest("ben", 1.0))
    assert sorted(restore_objects(store, None, trash.RemovalRequest("ben", 1.0))) == sorted(map(blobs.blob_key, shas))
    assert all(blobs.blob_key(sha) in store.held for sha in shas)
    assert not [k for k in store.held if k.startswith("trash/")]
    with pytest.raises(LookupError, match="the trash is empty: there is nothing to bring back"):
        restore_objects(store, None, trash.RemovalRequest("ben", 1.0))


@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_of_a_restore(how: How) -> None:
    at = 1
    while True:
        store = world()
        shas = [blobs.put(store, b"one"), blobs.put(store, b"two")]
        collect_garbage(store, "ann", 0.0)
        faulty = FaultyStore(store, at, how)
        with contextlib.suppress(OSError, Crash, RuntimeError):
            restore_objects(faulty, None, trash.RemovalRequest("ben", 1.0))
        assert [blobs.get(store, sha) for sha in shas] == [b"one", b"two"]
        if faulty.calls < at:
            return
        at += 1


def test_a_damaged_record_of_pipelines_stops_sweeps_and_no_night() -> None:
    store = world()
    store.held[pipelines.KEY] = store.held[pipelines.KEY][:50]
    with pytest.raises(ValueError, match=r"pipelines.json .* was changed or cut off.*--adopt. makes the record again"):
        collect_garbage(store, "ann", 0.0)
    newest = manifest_store.current_manifest(store, PIPELINE, 1)
    mine = lease.take_lease(store, PIPELINE, "night", 10_000.0, 60)
    assert mine and published(store, 2, newest)
    lease.release_lease(store, mine)
    with pytest.raises(ValueError, match="no complete record"):
        collect_garbage(store, "ann", 20_000.0)
    assert (
        pipelines.adopt_pipelines(store, [PIPELINE]) == {PIPELINE: (0,)}
        and collect_garbage(store, "ann", 30_000.0).busy == ""
    )


def test_a_pipeline_that_is_not_to_be_seen_is_given_up_only_in_words() -> None:
    store = world()
    pipelines.register_pipeline(store, "other", 3)
    with pytest.raises(ValueError, match="other begins at night 3 by its record"):
        collect_garbage(store, "ann", 0.0)
    with pytest.raises(ValueError, match="record also has other"):
        pipelines.adopt_pipelines(store, [PIPELINE])
    pipelines.adopt_pipelines(store, [PIPELINE, "other"])  # it comes back: nothing is forgotten
    with pytest.raises(ValueError, match="other begins at night 3 by its record"):
        collect_garbage(store, "ann", 1000.0)
    assert list(pipelines.adopt_pipelines(store, [PIPELINE, "-other"])) == [PIPELINE]
    assert collect_garbage(store, "ann", 2000.0).busy == ""


def test_a_damaged_night_that_was_run_again_stops_no_sweep_though_it_was_promoted() -> None:
    store = Memory.fresh()
    first = published(store, 0, None)
    promoted(store, first)
    second = published(store, 1, first)
    promoted(store, second)
    published(store, 2, second)
    key = manifest_store.manifest_key(PIPELINE, 1, 1)
    store.held[key] = store.held[key][:200]
    with pytest.raises(ValueError, match="Run these nights again first"):
        collect_garbage(store, "ann", 0.0)
    published(store, 1, first, salt="again")
    assert collect_garbage(store, "ann", 1000.0).busy == ""
    assert reads_of(store, PIPELINE).versions == {0: {1}, 1: {1}, 2: {1}}


@pytest.mark.parametrize("left", [0, 200])
def test_what_a_damaged_superseded_night_named_stays_in_the_trash_until_it_is_given_up(left: int) -> None:
    store = Memory.fresh()
    first = published(store, 0, None)
    second = published(store, 1, first)
    published(store, 1, first, salt="again")
    key = manifest_store.manifest_key(PIPELINE, 1, 1)
    whole = store.held[key]
    store.held[key] = whole[:left]
    found = collect_garbage(store, "ann", 0.0, grace=10.0)
    assert found.removed and found.unseen == (key,)
    late = collect_garbage(store, "ann", 1e6, grace=10.0)
    assert not late.deleted and late.unseen == (key,)
    store.held[key] = whole  # from a backup
    assert not manifest_store.blob_damage(store, manifest_store.blobs_of(second))
    assert collect_garbage(store, "ann", 2e6, grace=10.0).unseen == ()
    store.held[key] = b"given up\n"
    assert (
        collect_garbage(store, "ann", 3e6, grace=10.0).removed
        and collect_garbage(store, "ann", 4e6, grace=10.0).deleted
    )


def test_files_of_other_programs_are_left_alone() -> None:
    store = world()
    others = ["blobs/README", f"pipelines/{PIPELINE}/nights/000001/0001.json.bak", f"pipelines/{PIPELINE}/log/old.json"]
    store.held.update(dict.fromkeys(others, b"x"))
    assert collect_garbage(store, "ann", 0.0).removed == () and all(key in store.held for key in others)


def test_removals_whose_records_are_gone_or_damaged_hide_no_other() -> None:
    store, day = world(), 86_400.0
    shas = []
    for number in range(3):
        shas.append(blobs.put(store, b"orphan %d" % number))
        collect_garbage(store, "ann", number * day)
    del store.held["removals/00000001.json"]
    store.held["removals/00000002.json"] = b"{}"
    assert [one.number for one in trash.removals(store)] == [3]
    assert blobs.get(store, shas[2]) == b"orphan 2"
    blobs.put(store, b"one more")
    collect_garbage(store, "ann", 4 * day)
    assert "removals/00000004.json" in store.held, "no number is given twice"


def test_restore_waits_for_a_sweep() -> None:
    store = world()
    blobs.put(store, b"orphan")
    collect_garbage(store, "ann", 0.0)
    lease.take_key(store, lease.SWEEP, "a sweep", 10.0, 60)
    with pytest.raises(RuntimeError, match="nothing was brought back: a sweep of the store is held by the run a sweep"):
        restore_objects(store, None, trash.RemovalRequest("ben", 11.0))


def test_the_trash_mends_a_needed_blob_that_rotted_in_its_place() -> None:
    store, day = world(), 86_400.0
    newest = manifest_store.current_manifest(store, PIPELINE, 1)
    waiting = night(store, 2, newest, salt="frozen")
    collect_garbage(store, "ann", 0.0)
    assert manifest_store.create_manifest(store, waiting)
    key = blobs.blob_key(waiting.checkpoints["A"].weights)
    store.held[key] = b"rotten"
    collect_garbage(store, "ann", 30 * day)
    check_invariants(store)
    assert store.held[key] != b"rotten"


def test_one_bad_read_of_a_lease_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory.fresh()
    mine = lease.take_lease(store, PIPELINE, "run 1", 0.0, 60)
    assert mine
    real, cut = Memory.read, []

    def short(self: Memory, key: str) -> tuple[bytes, str] | None:
        found = real(self, key)
        if found and key == mine.key and not cut:
            cut.append(key)
            return found[0][:20], found[1]
        return found

    monkeypatch.setattr(Memory, "read", short)
    assert lease.renew_lease(store, mine, 1.0, 60)
    cut.clear()
    assert lease.take_lease(store, PIPELINE, "run 2", 2.0, 60) is None
    cut.clear()
    assert lease.release_lease(store, mine) and lease.take_lease(store, PIPELINE, "run 2", 3.0, 60)


def test_a_sweep_that_lost_its_lease_stops() -> None:
    store = world()
    orphans = [blobs.put(store, b"orphan %d" % n) for n in range(3)]

    class Slow(Memory):
        def remove(self, key: str) -> None:  # while it removes the first, another run takes the lease over
            super().remove(key)
            lease.take_key(store, lease.SWEEP, "ben", 1e6, 3600)
            time.sleep(0.3)

    with pytest.raises(RuntimeError, match=r"the lease of sweep/lease.json was lost"):
        collect_garbage(Slow(store.held), "ann", 0.0, seconds=0.3)
    assert sum(blobs.blob_key(sha) in store.held for sha in orphans) == 2


def test_a_sweep_renews_its_lease() -> None:
    store = world()
    blobs.put(store, b"orphan")
    seen: list[float] = []

    class Slow(Memory):
        def remove(self, key: str) -> None:
            time.sleep(0.5)
            found = lease.other_holder(store, lease.SWEEP, 0.0)
            seen.append(found.expires if found else 0.0)
            super().remove(key)

    collect_garbage(Slow(store.held), "ann", 100.0, seconds=0.6)
    assert seen[0] > 100.75, "renewed while it removed, by the clock it was taken with"


def test_a_pipeline_that_begins_while_a_person_confirms_the_others_is_not_forgotten() -> None:
    """A sweep looks for its lease, and for what it needs, by the record."""

    class Begins(Memory):
        def swap(self, key: str, data: bytes, tag: str) -> bool:  # another run registers first
            if key == pipelines.KEY and "new" not in pipelines.readable_record(Memory(self.held)).roots:
                pipelines.register_pipeline(Memory(self.held), "new", 4)
            return super().swap(key, data, tag)

    store = world()
    del store.held[pipelines.KEY]
    pipelines.register_pipeline(store, PIPELINE, 0)  # not complete: an older release wrote to this store
    assert pipelines.adopt_pipelines(Begins(store.held), [PIPELINE]) == {PIPELINE: (0,), "new": (4,)}
    assert pipelines.readable_record(store).complete
    with pytest.raises(ValueError, match=r"also has new; name every pipeline"):
        pipelines.adopt_pipelines(store, [PIPELINE])


def test_a_whole_copy_of_an_earlier_removal_is_found_behind_a_damaged_one() -> None:
    store = world()
    sha = blobs.put(store, b"orphan")
    for when in (0.0, 1000.0):
        blobs.put(store, b"orphan")
        collect_garbage(store, "ann", when)
    first, second = sorted(key for key in store.held if key.startswith("trash/"))
    assert (first, second) == (f"trash/00000001/blobs/{sha}", f"trash/00000002/blobs/{sha}")
    store.held[second] = b"orp"
    assert blobs.get(store, sha) == b"orphan"
