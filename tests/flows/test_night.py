"""Nights, plain: what a night writes, what running it again changes, and what it refuses."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import nightloop.flows.backfill
import nightloop.flows.nightly
import nightloop.tasks.promote
import nightloop.tasks.resources
import nightloop.tasks.schedule
from nightloop.flows.run_summary import summarize
from nightloop.tasks.data.vocabulary import vocabulary_from_bytes
from nightloop.tasks.maintain import compact
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.trash import RemovalRequest
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.backfill_plan import State
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.period_states import overview
from nightloop.tasks.record.taken_items import load_taken_items
from tests.flows.tiny_pipeline import WHEN, Tiny, begin, raw_plan, run

pytestmark = pytest.mark.xdist_group("night")  # one process: what these tests begin from is made once


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Eight days delivered, no night yet."""
    return begin(tmp_path_factory, monkeypatch)


@pytest.fixture
def begun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The same with its nights 1 (the root) and 2 done."""
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def test_a_chain_of_nights_is_bound_by_hashes_and_every_blob_is_sound(tiny: Tiny) -> None:
    nights = run(tiny, 1, 2, 3)
    assert [n.outcome for n in nights] == ["complete"] * 3
    assert [n.previous for n in nights] == [None, nights[0].hash, nights[1].hash]
    assert all(
        manifest_store.blob_damage(nightloop.tasks.resources.open_store(), manifest_store.blobs_of(night)) == []
        for night in nights
    )
    assert not nights[0].scores, "nothing can be scored at the root"
    assert set(nights[1].scores) >= {"still", "tuned", "popular"}
    assert nights[2].checkpoints["still"].weights != nights[2].checkpoints["tuned"].weights


def test_what_users_took_is_kept_with_the_night(begun: Tiny) -> None:
    (night,) = run(begun, 3)
    store = nightloop.tasks.resources.open_store()
    before = manifest_store.current_manifest(store, night.pipeline, 2)
    assert before is not None
    users = [len(vocabulary_from_bytes(blobs.get(store, one.vocabulary or "")).ids["user"]) for one in (before, night)]
    early, late = (load_taken_items(store, one.taken, n) for one, n in zip((before, night), users, strict=True))
    for user in range(users[0]):
        assert {*early.of(user)} <= {*late.of(user)} and len({*late.of(user)}) == len(late.of(user)) > 0
    assert len(late.item) > len(early.item)


def test_a_finished_night_run_again_changes_nothing(begun: Tiny) -> None:
    run(begun, 3)
    before = begun.record()
    again = run(begun, 2, 3, 1)
    assert begun.record() == before
    assert [n.revision for n in again] == [1, 1, 1]


def test_a_report_that_cannot_be_drawn_fails_no_night(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The night was complete, its run failed, and what came of it was not said."""

    def away(*plan: object) -> str:
        raise OSError(27, "File too large")

    for flow in (nightloop.flows.nightly, nightloop.flows.backfill):
        monkeypatch.setattr(flow, "publish", away)
        monkeypatch.setattr(flow, "scheduled_time", lambda: datetime.fromisoformat("2026-01-06T02:00:00+00:00"))
    assert nightloop.flows.nightly.nightly(str(begun.path), begun.name(3))[0].startswith(begun.name(3))
    assert nightloop.flows.backfill.backfill(str(begun.path), end=begun.name(4))[0].startswith(begun.name(4))
    assert caplog.text.count("the run is done; the report of tiny was not drawn: [Errno 27] File too large") == 2


def test_a_night_that_one_read_does_not_see_is_not_run_again(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen, real = begun.record(), [], manifest_store.current_manifest

    def blind(objects: Objects, pipeline: str, index: int) -> Manifest | None:
        seen.append(index)
        return None if index == 2 and seen.count(2) == 1 else real(objects, pipeline, index)

    monkeypatch.setattr(manifest_store, "current_manifest", blind)
    (night,) = run(begun, 2)
    assert 2 in seen and night.revision == 1 and begun.record() == before


def test_a_backfill_equals_the_nights_byte_for_byte(
    begun: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(begun, 3)
    nightly = {k: v for k, v in begun.record().items() if "/log/" not in k}
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "backfill"))
    for day in (3, 0, 2, 1):  # a backfill collects what comes before it runs anything, in another order
        nightloop.flows.nightly.collect(begun.plan, day)
    run(begun, 1, 2, 3, live=False)
    assert {k: v for k, v in begun.record().items() if "/log/" not in k} == nightly


def test_a_bad_day_stops_the_night_and_leaves_no_trace(begun: Tiny) -> None:
    begun.deliver(3, bad=True)
    (stopped,) = run(begun, 3)
    assert stopped.outcome == "blocked" and stopped.reason
    assert stopped.vocabulary is None and not stopped.checkpoints
    with pytest.raises(LookupError, match=r"is blocked.*nightloop backfill tiny --start"):
        run(begun, 4)
    begun.deliver(3)
    mended = run(begun, 3, 4)
    assert [(n.outcome, n.revision, n.logs[0].version) for n in mended] == [("complete", 2, 2), ("complete", 1, 1)]


def test_a_mended_chain_is_the_chain_that_never_went_wrong(begun: Tiny) -> None:
    shutil.copytree(begun.home, aside := begun.home.with_name("that-went-well"), dirs_exist_ok=True)
    kept = []
    for bad in (True, False):
        if bad:
            begun.deliver(3, bad=True)
            run(begun, 3)
            begun.deliver(3)
        run(begun, 3, 4)
        chain = begun.chain().items()
        learned = {i: [v.statistics for v in m.validated] for i, m in chain}
        kept.append((learned, {i: (m.checkpoints, m.scores, m.vocabulary, m.judged) for i, m in chain}))
        if bad:
            shutil.rmtree(begun.home)
            aside.rename(begun.home)
    assert kept[0] == kept[1]


def test_g2_no_byte_of_a_later_period_reaches_a_night(begun: Tiny) -> None:
    """Invariant 6: whatever the lake holds of days to come, the night is the same."""
    shutil.copytree(begun.home, aside := begun.home.with_name("without-a-future"), dirs_exist_ok=True)
    run(begun, 3)
    without = begun.record()
    shutil.rmtree(begun.home)
    aside.rename(begun.home)
    begun.deliver(4, bad=True)
    for day in (4, 5, 6):
        nightloop.flows.nightly.collect(begun.plan, day)
    run(begun, 3)
    assert begun.record() == without


def test_late_data_marks_every_later_night_stale_and_why(begun: Tiny) -> None:
    run(begun, 3, 4)
    begun.deliver(2, bad=True)
    nightloop.flows.nightly.collect(begun.plan, 2)
    found = _states(begun, 4)
    assert [found[i].state for i in (1, 2, 3, 4)] == ["complete", "stale", "stale", "stale"]
    assert "version 2" in found[2].reasons[0]


def _states(pipeline: Tiny, last: int) -> dict[int, State]:
    with nightloop.tasks.resources.open_lake(pipeline.plan) as lake:
        return overview(nightloop.tasks.resources.open_store(), lake, pipeline.plan, last)[1]


def test_an_older_catalog_makes_its_nights_stale_and_stops_the_next(begun: Tiny) -> None:
    """The night after it named an index where people know dates, no reason and no command, and `status` called all complete."""
    lake, earlier = begun.home / "home" / "lake" / "tiny.sqlite", begun.home / "earlier.sqlite"
    shutil.copy(lake, earlier)
    run(begun, 3)
    shutil.copy(earlier, lake)
    found = _states(begun, 3)
    assert [found[i].state for i in (1, 2, 3)] == ["complete", "complete", "stale"]
    assert found[3].reasons == ("version 1 of 2026-01-04 is not in the lake",)
    with pytest.raises(
        LookupError, match=r"no clean rows of 2026-01-04 \(version 1\), .* --start 2026-01-04 --what all"
    ):
        run(begun, 4)


def test_a_night_does_not_learn_from_as_many_other_rows(begun: Tiny) -> None:
    """A catalog that was restored counts on from an earlier version: a redelivery of equal size got the number that a night
    had read, as a bake-off lands it, and later nights learned from it as if it were what the chain names."""
    lake, earlier = begun.home / "home" / "lake" / "tiny.sqlite", begun.home / "earlier.sqlite"
    shutil.copy(lake, earlier)
    run(begun, 3)
    shutil.copy(earlier, lake)
    day = begun.home / "in" / f"{begun.name(3)}.parquet"
    rows, good = pq.read_table(day), day.read_bytes()
    items = rows.column("item_id").to_pylist()
    pq.write_table(rows.set_column(rows.schema.get_field_index("item_id"), "item_id", pa.array(items[::-1])), day)
    nightloop.flows.nightly.collect(begun.plan, 3)
    assert "version 1 of 2026-01-04 has other rows in the lake than the night read" in _states(begun, 3)[3].reasons[0]
    with pytest.raises(
        LookupError, match=r"the night that read them had as many others: .*--start 2026-01-04 --what all"
    ):
        run(begun, 4)
    act, grace = RemovalRequest("ann", nightloop.tasks.resources.open_store().file_time()), timedelta(0)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"the lake was not changed: version 1 of 2026-01-04 .* has other rows"):
        compact(begun.plan, act, grace, False)
    assert list(begun.chain()) == [1, 2, 3]
    shutil.copy(earlier, lake)
    day.write_bytes(good)
    nightloop.flows.nightly.collect(begun.plan, 3)  # the rows that the night read, once more
    assert [night.revision for night in run(begun, 3, 4)] == [1, 1]


def test_a_version_that_only_a_superseded_night_read_may_be_lost(begun: Tiny) -> None:
    """It was lost with a catalog that was restored, no night needs it, and nothing was ever removed again."""
    lake, earlier = begun.home / "home" / "lake" / "tiny.sqlite", begun.home / "earlier.sqlite"
    shutil.copy(lake, earlier)
    day = begun.home / "in" / f"{begun.name(2)}.parquet"
    good = day.read_bytes()
    pq.write_table(pq.read_table(day).slice(1), day)
    assert [night.logs[0].version for night in run(begun, 2)] == [2]
    shutil.copy(earlier, lake)
    day.write_bytes(good)
    act, grace = RemovalRequest("ann", nightloop.tasks.resources.open_store().file_time()), timedelta(0)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="does not have 1 versions that nights read"):
        compact(begun.plan, act, grace, False)
    assert [night.revision for night in run(begun, 2)] == [3]
    assert "the lake was compacted" in compact(begun.plan, act, grace, False)[0]


def test_a_night_does_not_learn_from_other_rows_than_the_chain_names(begun: Tiny) -> None:
    """A new catalog counts versions from 1 again: version 1 of a day may be what was delivered since."""
    shutil.rmtree(begun.home / "home" / "lake")
    day = begun.home / "in" / f"{begun.name(2)}.parquet"
    rows = pq.read_table(day)
    pq.write_table(rows.slice(1), day)
    for index in range(4):
        nightloop.flows.nightly.collect(begun.plan, index)
    with pytest.raises(LookupError, match=r"this is another catalog.*--start 2026-01-03 --what all"):
        run(begun, 3)
    assert list(begun.chain()) == [1, 2]
    act, grace = RemovalRequest("ann", nightloop.tasks.resources.open_store().file_time()), timedelta(0)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"the lake was not changed: version 1 of 2026-01-03 .* has other rows"):
        compact(begun.plan, act, grace, False)
    run(begun, 2, 3)  # as the message says
    assert [night.revision for night in begun.chain().values()] == [1, 2, 1]
    assert "the lake was compacted" in compact(begun.plan, act, grace, False)[0]


def test_an_operator_accepts_or_passes_over_a_bad_day_with_a_reason(begun: Tiny) -> None:
    from datetime import datetime

    when = datetime.fromisoformat(WHEN)
    begun.deliver(3, bad=True)
    run(begun, 3)
    landed = nightloop.flows.nightly.collect_all(begun.plan, 3)
    with pytest.raises(ValueError, match="both given"):
        nightloop.tasks.schedule.decide_override(begun.plan, landed[-1], "a", "b", when)
    nightloop.tasks.schedule.decide_override(begun.plan, landed[-1], "", "upstream outage", when)
    (over,) = run(begun, 3)
    assert (over.outcome, over.reason, over.revision) == ("skipped", "upstream outage", 2)
    before = begun.chain()[2]
    assert over.checkpoints == before.checkpoints and over.vocabulary == before.vocabulary
    (after,) = run(begun, 4)
    assert after.outcome == "complete"
    with pytest.raises(ValueError, match=r"^2026-01-04 of tiny: .* decided already \(skip .* deliver corrected rows"):
        nightloop.tasks.schedule.decide_override(begun.plan, landed[-1], "it is fine after all", "", when)


def test_the_root_cannot_be_skipped_and_can_be_accepted_after_that(tiny: Tiny) -> None:
    from datetime import datetime

    tiny.deliver(0, 1, bad=True)
    (stopped,) = run(tiny, 1)
    assert [result.verdict for result in stopped.validated] == ["blocked", "blocked"]
    when, landed = datetime.fromisoformat(WHEN), nightloop.flows.nightly.collect_all(tiny.plan, 1)
    with pytest.raises(ValueError, match=r"root of tiny: it cannot be skipped.*Nothing was changed"):
        nightloop.tasks.schedule.decide_override(tiny.plan, landed[-1], "", "no", when)
    with pytest.raises(ConflictError, match=r'--accept "why"$'):
        summarize([stopped])
    nightloop.tasks.schedule.decide_override(tiny.plan, landed[-1], "a known outage", "", when, landed[:-1])
    (root,) = run(tiny, 1)
    assert root.outcome == "complete"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"model": {"use": "MF", "options": {"width": 8, "biases": True}}}, "model.options.width"),
        (
            {
                "strategies": {
                    "still": {"use": "NoUpdate"},
                    "popular": {"use": "Popularity"},
                    "new": {"use": "FineTune"},
                }
            },
            "strategies.new",
        ),
    ],
)
def test_a_changed_plan_is_named_and_not_mixed_into_the_chain(
    begun: Tiny, change: dict[str, object], named: str
) -> None:
    before = begun.record()
    begun.path.write_text(yaml.safe_dump(raw_plan(begun.home, change), sort_keys=False))
    with pytest.raises(ValueError, match=rf"plan of tiny changed since 2026-01-03: .*{named}"):
        run(begun, 3)
    assert begun.record() == before


def test_a_changed_gate_goes_on_and_is_written_down(begun: Tiny) -> None:
    begun.path.write_text(
        yaml.safe_dump(raw_plan(begun.home, {"gate": {"evidence_nights": 3, "resamples": 200}}), sort_keys=False)
    )
    (night,) = run(begun, 3)
    assert night.plan["gate"]["evidence_nights"] == 3  # type: ignore[index,call-overload]


def test_a_new_strategy_is_backfilled_and_the_others_are_not_trained_again(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nightloop.tasks.retrain

    run(begun, 3)
    before = begun.chain()
    more = raw_plan(begun.home)
    more["strategies"]["slow"] = {"use": "FineTune", "options": {"training": {"epochs": 2}}}
    begun.path.write_text(yaml.safe_dump(more, sort_keys=False))
    trained: list[str] = []
    real = nightloop.tasks.retrain._training_call

    def noticed(objects, parts, night, label, start, logs):  # type: ignore[no-untyped-def]
        trained.append(label)
        return real(objects, parts, night, label, start, logs)

    monkeypatch.setattr(nightloop.tasks.retrain, "_training_call", noticed)
    after = run(begun, 1, 2, 3)
    assert set(trained) == {"slow"}
    assert all(n.revision == 2 and n.checkpoints["tuned"] == before[n.period].checkpoints["tuned"] for n in after)


def test_a_damaged_predecessor_stops_the_run_and_names_the_mend(begun: Tiny) -> None:
    run(begun, 3)
    before = begun.chain()
    place = begun.home / "home" / "store" / manifest_store.manifest_key("tiny", 2, 1)
    place.write_bytes(place.read_bytes().replace(b"complete", b"completE", 1))
    with pytest.raises(LookupError, match="nightloop backfill tiny --start 2"):
        run(begun, 3)
    (mended,) = run(begun, 2)
    assert mended.revision == 2 and mended.checkpoints == before[2].checkpoints


def test_a_checkpoint_that_was_changed_is_refused_before_it_is_read(begun: Tiny) -> None:
    night = begun.chain()[2]
    place = begun.home / "home" / "store" / blobs.blob_key(night.checkpoints["tuned"].weights)
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises((ValueError, LookupError), match=night.checkpoints["tuned"].weights[:8]):
        run(begun, 3)
    assert 3 not in begun.chain()


def test_the_gate_promotes_and_people_roll_back_for_good(begun: Tiny) -> None:
    nights = run(begun, 3, 4)
    assert nights[-1].champion is not None or all(n.verdict != "promote" for n in nights)
    newest = nights[-1]
    other = "tuned" if newest.champion is None or newest.champion.strategy != "tuned" else "popular"
    with pytest.raises(ValueError, match="give --force"):
        nightloop.tasks.promote.promote_by_hand.fn(begun.plan, "still", "", "", ("trial", False), WHEN)
    with pytest.raises(RuntimeError, match="not 0000 as you saw it"):
        nightloop.tasks.promote.promote_by_hand.fn(begun.plan, other, "", "0000", ("because", True), WHEN)
    nightloop.tasks.promote.promote_by_hand.fn(begun.plan, other, "", newest.hash[:12], ("trial", True), WHEN)
    nightloop.tasks.promote.promote_by_hand.fn(begun.plan, "still", "", "", ("another trial", True), WHEN)
    assert other in nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", "it was worse", WHEN)
    (night,) = run(begun, 5)
    assert night.served is not None and night.served.strategy == other
    assert night.verdict == "hold" and night.champion == night.served
    assert any("pinned" in r for j in night.judged.values() for r in j.reasons) or all(
        j.verdict != "promote" for j in night.judged.values()
    )
    assert begun.log()[-1].action == "rollback", "the gate left the champion where the person put it"
