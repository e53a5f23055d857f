"""Manifests: published once, noticed when changed, found by hash, and the predecessor that a night builds on."""

from __future__ import annotations

import pytest

from nightloop.tasks.objects import blobs
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.manifest import RivalEvidence, TermEvidence
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore, How
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, check_invariants, night, published
from tests.s3_servers import Server


def test_publish_once() -> None:
    store = Memory()
    first = night(store, 0, None)
    assert manifest_store.current_manifest(store, PIPELINE, 0) is None
    assert manifest_store.create_manifest(store, first) and manifest_store.create_manifest(
        store, first
    )  # the same again: it stands
    assert manifest_store.current_manifest(store, PIPELINE, 0) == first
    other = first.model_copy(update={"verdict": "hold"})
    assert not manifest_store.create_manifest(store, other)  # another: refused, nothing changed
    assert manifest_store.current_manifest(store, PIPELINE, 0) == first


def test_revisions_and_chain() -> None:
    store = Memory()
    first = published(store, 0, None)
    second = published(store, 1, first)
    mended = published(store, 1, first, salt="late")
    assert (mended.revision, manifest_store.current_manifest(store, PIPELINE, 1)) == (2, mended)
    assert manifest_store.manifest_by_hash(store, PIPELINE, second.hash, 1) == second
    assert manifest_store.read_chain(store, PIPELINE, 0, 5) == {0: first, 1: mended}
    assert manifest_store.read_chain(store, PIPELINE, 3, 2) == {}
    for unknown in ("0" * 64, "", second.hash[:10], "'; --"):
        with pytest.raises(LookupError, match="no revision of night 1"):
            manifest_store.manifest_by_hash(store, PIPELINE, unknown, 1)


def test_a_night_of_a_release_without_evidence_is_read_and_keeps_its_hash() -> None:
    store = Memory()
    older = published(store, 0, None)
    assert older.evidence is None and b'"evidence"' not in older.data
    rivals = {"a": RivalEvidence(share=0.6, nights=3, total=1 / 3, squares=0.1)}
    newer = night(store, 1, older).model_copy(
        update={"evidence": TermEvidence(champion="old", metric="auc", min_gain=0.0, rivals=rivals)}
    )
    assert manifest_store.create_manifest(store, newer)
    assert manifest_store.read_chain(store, PIPELINE, 0, 1) == {0: older, 1: newer}


def test_publish_refuses_gaps_and_unknown_predecessors() -> None:
    store = Memory()
    first = night(store, 0, None)
    with pytest.raises(ValueError, match="must wait for revision 1"):
        manifest_store.create_manifest(store, first.model_copy(update={"revision": 2}))
    with pytest.raises(ValueError, match="names a predecessor that does not exist"):
        manifest_store.create_manifest(store, night(store, 1, first))
    for pipeline in ("../../etc", "A", "a'b", "x" * 1_000_000, ""):
        with pytest.raises(ValueError, match="is not a name of a pipeline"):
            manifest_store.create_manifest(store, first.model_copy(update={"pipeline": pipeline}))
    with pytest.raises(ValueError, match="a night is 0 to 999999"):
        manifest_store.current_manifest(store, PIPELINE, -1)
    assert not [k for k in store.held if k.startswith("pipelines/")]


def damages(data: bytes, other: bytes) -> list[bytes]:
    cut = [data[:n] for n in (0, 1, len(data) // 2, len(data) - 1)]
    return [*cut, data.replace(b"0.25", b"0.99"), data + b" ", other, b"\x00\xff" * 50, b"{}", b"null\n"]


def test_a_manifest_that_was_changed_cut_off_or_swapped() -> None:
    """It counts as missing; nothing builds on it; the message names the backfill; a new revision mends it."""
    store = Memory()
    first = published(store, 0, None)
    published(store, 1, first)
    key = manifest_store.manifest_key(PIPELINE, 1, 1)
    good = store.held[key]
    for data in damages(good, store.held[manifest_store.manifest_key(PIPELINE, 0, 1)]):
        store.held[key] = data
        assert manifest_store.current_manifest(store, PIPELINE, 1) is None
        assert list(manifest_store.read_chain(store, PIPELINE, 0, 1)) == [0]
        assert list(manifest_store.survey_chain(store, PIPELINE, 0, 1)[1]) == [1]
        with pytest.raises(ValueError, match=r"000001/0001"):
            manifest_store.verified_manifest(store, PIPELINE, 1)
        with pytest.raises(LookupError, match=f"nightloop backfill {PIPELINE} --start 1 --end 2 --what missing"):
            manifest_store.predecessor(store, PIPELINE, 2, 0)
    assert manifest_store.next_revision(store, PIPELINE, 1) == 2
    mended = published(store, 1, first)
    assert manifest_store.predecessor(store, PIPELINE, 2, 0) == mended


def test_a_manifest_written_by_hand_or_by_a_newer_version() -> None:
    from nightloop.tasks.objects.checksum import seal

    store = Memory()
    first = published(store, 0, None)
    key = manifest_store.manifest_key(PIPELINE, 0, 1)
    store.held[key] = seal(first.data.replace(b'"format":2', b'"format":1'))
    with pytest.raises(ValueError, match="has format 1, and this nightloop reads format 2: use the release that wrote"):
        manifest_store.verified_manifest(store, PIPELINE, 0)
    store.held[key] = seal(first.data.replace(b'"format":2', b'"colour":2'))
    with pytest.raises(ValueError, match="is not a manifest that this nightloop reads"):
        manifest_store.verified_manifest(store, PIPELINE, 0)
    store.held[key] = seal(first.data.replace(b'"pipeline":"shop"', b'"pipeline":"other"'))
    with pytest.raises(ValueError, match="of other: it was swapped"):
        manifest_store.verified_manifest(store, PIPELINE, 0)
    store.held[key] = seal(first.data.replace(b'":', b'": '))
    with pytest.raises(ValueError, match="written by hand"):
        manifest_store.verified_manifest(store, PIPELINE, 0)


def test_predecessor_says_which_backfill_mends_the_chain() -> None:
    store = Memory()
    assert manifest_store.predecessor(store, PIPELINE, 3, 3) is None
    with pytest.raises(LookupError, match="before the root 3"):
        manifest_store.predecessor(store, PIPELINE, 2, 3)
    with pytest.raises(LookupError, match="--start 3 --end 6 --what missing"):
        manifest_store.predecessor(store, PIPELINE, 6, 3)
    root = published(store, 3, None)
    assert manifest_store.predecessor(store, PIPELINE, 4, 3) == root
    with pytest.raises(LookupError, match="--start 4 --end 7 --what missing"):
        manifest_store.predecessor(store, PIPELINE, 7, 3)
    published(store, 4, root, outcome="blocked")
    with pytest.raises(LookupError, match=r"is blocked: too few rows.*--start 4 --end 5 --what failed"):
        manifest_store.predecessor(store, PIPELINE, 5, 3)
    with pytest.raises(LookupError, match=r"another root than 2.*--start 2 --end 4 --what all"):
        manifest_store.predecessor(store, PIPELINE, 4, 2)


def test_verify_names_every_damaged_blob() -> None:
    store = Memory()
    made = published(store, 0, None)
    assert manifest_store.blob_damage(store, manifest_store.blobs_of(made)) == []
    assert len(manifest_store.blobs_of(made)) == 8  # vocabulary, validation, two scores, two checkpoints of two
    store.held[blobs.blob_key(made.scores["A"].blob)] = b"changed"
    del store.held[blobs.blob_key(made.checkpoints["B"].memory)]
    with pytest.raises(ValueError, match=r"cannot be recorded, run it again: .*is not in the store"):
        manifest_store.create_manifest(store, made.model_copy(update={"revision": 2}))
    problems = manifest_store.blob_damage(store, manifest_store.blobs_of(made))
    assert len(problems) == 2 and any("is not in the store" in p for p in problems)


@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_of_a_night(how: How) -> None:
    """Blobs, then the manifest; whatever goes wrong wherever, the second run gives the bytes of an undisturbed one."""

    def run(store: FaultyStore | Memory) -> bool:
        first = manifest_store.predecessor(store, PIPELINE, 1, 0)
        made = night(store, 1, first)
        return (
            manifest_store.create_manifest(store, made) if made.revision == 1 else True
        )  # a finished night is left alone

    undisturbed = Memory()
    published(undisturbed, 0, None)
    assert run(undisturbed)
    at = 1
    while True:
        store = Memory()
        published(store, 0, None)
        faulty = FaultyStore(store, at, how)
        try:
            assert run(faulty)
        except (OSError, Crash):
            check_invariants(store)
            assert run(store)
        check_invariants(store)
        assert store.held == undisturbed.held
        if faulty.calls < at:
            return
        at += 1


def test_on_s3(moto: Server, moto_store_url: str, tmp_path: object) -> None:
    from nightloop.tasks.objects.objects import open_objects

    store = open_objects(moto.settings(moto_store_url, tmp_path), moto.credentials)  # type: ignore[arg-type]
    first = published(store, 0, None)
    second = published(store, 1, first)
    assert manifest_store.read_chain(store, PIPELINE, 0, 9) == {0: first, 1: second}
    check_invariants(store)
