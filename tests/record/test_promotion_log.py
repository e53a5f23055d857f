"""The champion: promotions, refusals, rollbacks, and what served when."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.entries import Entry, rollback_target, served_on
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore, How
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, act, check_invariants, draft_entry, night, promoted, published


def test_nobody_serves_at_first() -> None:
    assert promotion_log.read_champion(Memory(), PIPELINE) is None
    assert promotion_log.read_log(Memory(), PIPELINE) == []


def test_promote_and_read_back() -> None:
    store = Memory()
    first = published(store, 0, None)
    entry = promoted(store, first)
    assert (entry.number, entry.strategy, entry.previous, entry.evidence["verdict"]) == (1, "A", None, "promote")
    second = promoted(store, published(store, 1, first))
    assert (second.number, second.previous) == (2, first.hash)
    assert promotion_log.read_champion(store, PIPELINE) == second
    assert promotion_log.read_log(store, PIPELINE) == [entry, second]
    check_invariants(store)


class AwayAfter(Memory):
    """A store that goes away once an entry is written; `answers`: whether the writer is told that it was."""

    answers = True

    def create(self, key: str, data: bytes) -> bool:
        return super().create(key, data) and (self.answers or "/log/" not in key)

    def read(self, key: str) -> tuple[bytes, str] | None:
        if any("/log/" in name for name in self.held):
            raise ConnectionError("the store does not answer")
        return super().read(key)


def test_a_promotion_is_done_though_the_store_goes_away_after_it() -> None:
    store = AwayAfter()
    entry = promotion_log.append_promotion(store, PIPELINE, draft_entry(published(store, 0, None), "A", act("ann")), 0)
    assert entry and entry.number == 1
    assert [entry] == promotion_log.read_log(Memory(store.held), PIPELINE)


def test_a_promotion_that_may_be_done_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwayAfter, "answers", False)
    store = AwayAfter()
    with pytest.raises(TimeoutError, match=r"it is not known which run wrote it.*repeating the same act is safe"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(published(store, 0, None), "A", act("ann")), 0)


def test_the_second_of_two_is_told() -> None:
    store = Memory()
    first = published(store, 0, None)
    assert promotion_log.append_promotion(store, PIPELINE, draft_entry(first, "A", act("ann")), 0)
    assert promotion_log.append_promotion(store, PIPELINE, draft_entry(first, "B", act("ben")), 0) is None
    assert promotion_log.read_champion(store, PIPELINE).strategy == "A"  # type: ignore[union-attr]


def test_the_same_act_again_is_the_same_entry() -> None:
    store = Memory()
    entry = draft_entry(published(store, 0, None), "A", act())
    first = promotion_log.append_promotion(store, PIPELINE, entry, 0)
    assert promotion_log.append_promotion(store, PIPELINE, entry, 0) == first  # the answer was lost
    assert promotion_log.append_promotion(store, PIPELINE, entry, 1) == first  # the whole night ran again
    assert len(promotion_log.read_log(store, PIPELINE)) == 1


def test_refused_without_the_gate_unless_forced_with_a_reason() -> None:
    store = Memory()
    held = published(store, 0, None, verdict="hold")
    with pytest.raises(ValueError, match=r"verdict on A .* is 'hold'"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(held, "A", act("ann")), 0)
    with pytest.raises(ValueError, match="a promotion needs a reason"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(held, "A", act("ann", reason=" "), forced=True), 0)
    assert promotion_log.read_log(store, PIPELINE) == []
    entry = promotion_log.append_promotion(
        store, PIPELINE, draft_entry(held, "A", act("ann", reason="the sale"), forced=True), 0
    )
    assert entry and entry.forced and entry.reason == "the sale"
    check_invariants(store)


def test_refused_where_the_night_is_not_recorded_or_was_mended() -> None:
    store = Memory()
    unseen = night(store, 0, None)
    with pytest.raises(ValueError, match="recorded"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(unseen, "A", act()), 0)
    assert manifest_store.create_manifest(store, unseen)
    published(store, 0, None, salt="late rows")
    with pytest.raises(ValueError, match=r"was run again since. its revision 1 is old"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(unseen, "A", act()), 0)
    assert promotion_log.append_promotion(
        store, PIPELINE, draft_entry(unseen, "A", act("ann", "the new one crashes"), forced=True), 0
    )


def test_refused_where_what_would_serve_is_damaged() -> None:
    store = Memory()
    made = published(store, 0, None)
    weights = blobs.blob_key(made.checkpoints["A"].weights)
    good = store.held[weights]
    store.held[weights] = b"evil"
    with pytest.raises(ValueError, match="changed or cut off"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(made, "A", act()), 0)
    del store.held[weights]
    with pytest.raises(ValueError, match="cannot serve"):
        promotion_log.append_promotion(store, PIPELINE, draft_entry(made, "A", act()), 0)
    store.held[weights] = good
    with pytest.raises(ValueError, match="do not name the same checkpoint"):
        swapped = draft_entry(made, "A", act()).model_copy(update={"checkpoint": made.checkpoints["B"]})
        promotion_log.append_promotion(store, PIPELINE, swapped, 0)
    assert promotion_log.read_champion(store, PIPELINE) is None


def test_no_draft_of_what_is_not_there() -> None:
    store = Memory()
    with pytest.raises(ValueError, match="it has A, B"):
        draft_entry(night(store, 0, None), "C", act())
    with pytest.raises(ValueError, match="it is blocked"):
        draft_entry(night(store, 0, None, outcome="blocked"), "A", act())
    with pytest.raises(ValueError, match="is not a date or time"):
        draft_entry(night(store, 0, None), "A", act(when="yesterday"))


def test_rollback_goes_back_and_never_forward() -> None:
    store = Memory()
    nights = [published(store, 0, None)]
    promoted(store, nights[0])
    for period in (1, 2):
        nights.append(published(store, period, nights[-1]))
        promoted(store, nights[-1])
    once = promotion_log.append_rollback(store, PIPELINE, act("ann", "clicks fell"), 3)
    assert once and (once.manifest, once.action, once.previous) == (nights[1].hash, "rollback", nights[2].hash)
    twice = promotion_log.append_rollback(store, PIPELINE, act("ann", "clicks fell"), 4)
    assert twice and twice.manifest == nights[0].hash
    with pytest.raises(ValueError, match="no earlier champion to roll back to"):
        promotion_log.append_rollback(store, PIPELINE, act("ann", "clicks fell"), 5)
    forward = promotion_log.append_rollback(store, PIPELINE, act("ann", "it was the banner"), 5, to=nights[2].hash)
    assert forward and forward.manifest == nights[2].hash
    check_invariants(store)


def test_rollback_refusals() -> None:
    store = Memory()
    with pytest.raises(ValueError, match="roll back to"):
        promotion_log.append_rollback(store, PIPELINE, act("ann"), 0)
    first = published(store, 0, None)
    promoted(store, first)
    with pytest.raises(ValueError, match="needs a reason"):
        promotion_log.append_rollback(store, PIPELINE, act("ann", ""), 1)
    with pytest.raises(ValueError, match="of manifest 0000"):
        promotion_log.append_rollback(store, PIPELINE, act("ann"), 1, to="0" * 64)
    promoted(store, published(store, 1, first))
    assert promotion_log.append_rollback(store, PIPELINE, act("ann", "slow"), 2)
    assert promotion_log.append_rollback(store, PIPELINE, act("ben", "slow"), 2) is None  # ann was first


def test_what_served_when() -> None:
    store = Memory()
    first = published(store, 0, None)
    entries = []
    for number, (manifest, when) in enumerate(
        [(first, "2026-01-02T02:00:00+00:00"), (published(store, 1, first), "2026-01-03T02:00:00+01:00")]
    ):
        entries.append(
            promotion_log.append_promotion(store, PIPELINE, draft_entry(manifest, "A", act(when=when)), number)
        )
    found = promotion_log.read_log(store, PIPELINE)
    assert served_on(found, "2026-01-01") is None
    assert served_on(found, "2026-01-02T12:00:00") == entries[0]
    assert served_on(found, "2026-01-03T00:59:59+00:00") == entries[0]
    assert served_on(found, "2026-01-03") == entries[1]
    with pytest.raises(ValueError, match="is not a date or time"):
        served_on(found, "'; DROP TABLE log; --")


def test_a_pointer_left_behind_is_rolled_forward() -> None:
    store = Memory()
    first = published(store, 0, None)
    promoted(store, first)
    behind = store.held[promotion_log.pointer_key(PIPELINE)]
    newest = promoted(store, published(store, 1, first))
    for damage in (behind, None, b"{}", behind[:40], b""):
        store.held.pop(promotion_log.pointer_key(PIPELINE))
        if damage is not None:
            store.held[promotion_log.pointer_key(PIPELINE)] = damage
        assert promotion_log.read_champion(store, PIPELINE) == newest
        check_invariants(store)


def test_a_forged_pointer_is_corrected_and_a_cut_log_is_not_believed() -> None:
    store = Memory()
    first = published(store, 0, None)
    promoted(store, first)
    newest = promoted(store, published(store, 1, first))
    forged = promotion_log.seal_record(newest.model_copy(update={"strategy": "B"}))
    store.held[promotion_log.pointer_key(PIPELINE)] = forged
    assert promotion_log.read_champion(store, PIPELINE) == newest
    entry = store.held.pop(promotion_log.entry_key(PIPELINE, 2))
    with pytest.raises(ValueError, match="it was removed"):
        promotion_log.read_champion(store, PIPELINE)
    store.held[promotion_log.entry_key(PIPELINE, 2)] = entry.replace(b'"A"', b'"B"')
    with pytest.raises(ValueError, match="changed or cut off"):
        promotion_log.read_champion(store, PIPELINE)
    store.held[promotion_log.entry_key(PIPELINE, 2)] = store.held[promotion_log.entry_key(PIPELINE, 1)]
    with pytest.raises(ValueError, match="swapped"):
        promotion_log.read_champion(store, PIPELINE)
    store.held[promotion_log.entry_key(PIPELINE, 2)] = entry
    del store.held[promotion_log.entry_key(PIPELINE, 1)]
    with pytest.raises(ValueError, match=r"lacks entries \[1\]"):
        promotion_log.read_log(store, PIPELINE)


def test_who_only_reads_is_told_the_truth() -> None:
    store = Memory()
    first = published(store, 0, None)
    promoted(store, first)
    newest = promoted(store, published(store, 1, first))
    store.held.pop(promotion_log.pointer_key(PIPELINE))

    class ReadOnly(FaultyStore):
        def create(self, key: str, data: bytes) -> bool:
            raise PermissionError(13, "read-only")

    assert promotion_log.read_champion(ReadOnly(store, 0, "fail"), PIPELINE) == newest


@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_of_a_promotion_and_a_rollback(how: How) -> None:
    """Whatever goes wrong wherever: doing it again ends as if nothing had."""
    at = 1
    while True:
        store = Memory()
        nights = [published(store, 0, None)]
        promoted(store, nights[0])
        nights.append(published(store, 1, nights[0]))
        faulty = FaultyStore(store, at, how)
        entry = draft_entry(nights[1], "A", act())

        def move(objects: FaultyStore | Memory, entry: Entry = entry) -> list[Entry | None]:
            forth = promotion_log.append_promotion(objects, PIPELINE, entry, 1)
            back = promotion_log.append_rollback(objects, PIPELINE, act("ann", "slow"), 2)
            return [forth, back]

        try:
            done = move(faulty)
            assert None not in done, f"{how} at call {at}: told that it lost, though it did not: {faulty.log}"
        except (OSError, Crash):
            check_invariants(store)
            assert None not in move(store), f"{how} at call {at}: {faulty.log}"
        check_invariants(store)
        log = promotion_log.read_log(store, PIPELINE)
        assert [(e.action, e.manifest) for e in log[1:]] == [("promote", nights[1].hash), ("rollback", nights[0].hash)]
        if faulty.calls < at:
            return
        at += 1


def _move(path: Path, strategy: str, gate: object, told: object) -> None:
    store = Directory(path)
    made = manifest_store.current_manifest(store, PIPELINE, 0)
    assert made is not None
    entries = [draft_entry(made, strategy, act(strategy, f"round {n}")) for n in range(20)]
    won = []
    for number, entry in enumerate(entries):
        gate.wait()  # type: ignore[attr-defined]
        won.append(promotion_log.append_promotion(store, PIPELINE, entry, number) is not None)
    told.put((strategy, won))  # type: ignore[attr-defined]


def test_two_promoters_in_two_processes(tmp_path: Path) -> None:
    """Twenty races on a real directory: each has one winner, and both know who it is."""
    published(Directory(tmp_path), 0, None)
    context = multiprocessing.get_context("spawn")
    gate, told = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_move, args=(tmp_path, name, gate, told)) for name in ("A", "B")]
    for racer in racers:
        racer.start()
    results = dict(told.get(timeout=120) for _ in racers)
    for racer in racers:
        racer.join(timeout=60)
    log = promotion_log.read_log(Directory(tmp_path), PIPELINE)
    assert len(log) == 20
    for number, entry in enumerate(log):
        loser = "B" if entry.strategy == "A" else "A"
        assert results[entry.strategy][number] and not results[loser][number]
    check_invariants(Directory(tmp_path))


def test_a_fork_of_rollbacks_keeps_a_stack() -> None:
    store = Memory()
    a = published(store, 0, None)
    promoted(store, a)
    b = published(store, 1, a)
    promoted(store, b)
    promotion_log.append_rollback(store, PIPELINE, act("ann", "bad"), 2)
    c = published(store, 2, b)
    promoted(store, c)
    assert rollback_target(promotion_log.read_log(store, PIPELINE)).manifest == a.hash  # not b, which was rolled back
