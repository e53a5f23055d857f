"""A person's acts through the tasks and flows that forms and verbs call: what is said, what is refused, what holds."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nightloop.flows.pipeline_lock
import nightloop.flows.promote
import nightloop.tasks.compare
import nightloop.tasks.maintain
import nightloop.tasks.promote
import nightloop.tasks.resources
import nightloop.tasks.schedule
from nightloop.flows.nightly import collect_all
from nightloop.flows.pipeline_lock import hold_pipeline_lock, store_clock, try_pipeline_lock
from nightloop.tasks.gate.decide import decide
from nightloop.tasks.objects import blobs, lease, pipelines, trash
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.outcomes import Decision
from tests.flows.tiny_pipeline import WHEN, Tiny, begin, run

DAY = 86_400.0
NOW = 1_800_000_000.0


@pytest.fixture
def begun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def skipped(tiny: Tiny, day: int) -> None:
    """A night that an operator passes over."""
    with nightloop.tasks.resources.keep_open(tiny.plan):
        landed = collect_all(tiny.plan, day)
    nightloop.tasks.schedule.decide_override(
        tiny.plan, landed[-1], "", "the vendor's file is broken", datetime.fromisoformat(WHEN)
    )
    assert [night.outcome for night in run(tiny, day)] == ["skipped"]


def promote(tiny: Tiny, strategy: str, reason: str = "trial", period: str = "", seen: str = "") -> str:
    return nightloop.tasks.promote.promote_by_hand.fn(tiny.plan, strategy, period, seen, (reason, True), WHEN)


def test_a_rollback_after_a_skipped_night_is_not_undone(begun: Tiny) -> None:
    """The reproduction of an on-call week: served, skipped, rolled back in the morning, the next night."""
    promote(begun, "popular")
    run(begun, 3)
    promote(begun, "tuned")
    skipped(begun, 4)
    said = nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", "complaints", WHEN)
    assert said.startswith("popular of 2026-01-0") and "pinned: the gate does not move it" in said
    nights, back = run(begun, 5, 6), begun.log()[-1]
    assert back.action == "rollback"
    for night in nights:
        assert night.champion == night.served and night.served is not None
        assert (night.served.strategy, night.served.period) == ("popular", back.period)


def test_a_credential_in_a_reason_is_not_kept_for_ever(begun: Tiny) -> None:
    """A reason is what a person pastes, an error with a connection string too, and no record is ever changed."""
    secret = "lake is down: postgresql://nl:hunter2hunter2@db/lake password=hunter2hunter2"
    promote(begun, "tuned")
    promote(begun, "popular", secret)
    entries = begun.log()
    assert "already done" in promote(begun, "popular", secret) and begun.log() == entries
    nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", secret, WHEN)
    nightloop.tasks.promote.pin_by_hand.fn(begun.plan, secret, WHEN, False)
    with nightloop.tasks.resources.keep_open(begun.plan):
        landed = collect_all(begun.plan, 3)
    nightloop.tasks.schedule.decide_override(begun.plan, landed[-1], "", secret, datetime.fromisoformat(WHEN))
    run(begun, 3)
    objects = nightloop.tasks.resources.open_store()
    stored = {key: found[0] for key in objects.keys("") if (found := objects.read(key))}
    assert any(b"lake is down" in data for data in stored.values())
    assert [key for key, data in stored.items() if b"hunter2" in data] == []


def test_evidence_is_carried_over_a_skipped_night_and_begins_anew_after_an_act_by_hand(begun: Tiny) -> None:
    promote(begun, "popular")
    run(begun, 3, 4)
    skipped(begun, 5)
    run(begun, 6)
    before, over, after = (begun.chain()[day].evidence for day in (4, 5, 6))
    assert before and over and after
    assert (before.champion, before.rivals["tuned"].nights) == ("popular", 2)
    assert over == before
    assert after.rivals["tuned"].nights == 3
    promote(begun, "tuned")
    run(begun, 7)
    newest = begun.chain()[7].evidence
    assert newest and (newest.champion, newest.ended[-1]) == ("tuned", 7)
    assert newest.rivals["popular"].nights == 1
    shown = begun.chain()[7].judged["popular"].numbers
    assert shown["evidence_nights"] == 1 and shown["needed"] > begun.chain()[6].judged["tuned"].numbers["needed"]  # type: ignore[operator]


def test_evidence_begins_anew_after_a_rollback_though_the_next_night_is_skipped(begun: Tiny) -> None:
    """Older weights serve, and no night was scored when they began to."""
    promote(begun, "popular")
    run(begun, 3)
    promote(begun, "popular", "its newer weights")
    run(begun, 4)
    nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", "complaints", WHEN)
    skipped(begun, 5)
    run(begun, 6, 7)
    before, anew, after = (begun.chain()[day].evidence for day in (4, 6, 7))
    assert before and anew and after
    assert [term.rivals["tuned"].nights for term in (before, anew, after)] == [2, 1, 2]
    assert (before.ended, anew.ended, after.ended) == ((), (6,), (6,))


def test_what_a_person_rolled_back_from_has_no_evidence_of_before(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate promotes a strategy, and a person goes back in the morning: the old champion served on both nights."""
    promote(begun, "popular")
    run(begun, 3)
    with monkeypatch.context() as patched:
        patched.setattr(nightloop.tasks.compare, "decide", choose("tuned"))
        run(begun, 4)
    assert begun.log()[-1].strategy == "tuned" and begun.log()[-1].by == "gate"
    nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", "complaints", WHEN)
    run(begun, 5)
    night = begun.chain()[5]
    assert night.served is not None and night.served.strategy == "popular" and night.evidence is not None
    assert (night.evidence.ended, night.evidence.rivals["tuned"].nights) == ((5,), 1)


def choose(strategy: str) -> Callable[..., Decision]:
    """The gate's `decide`, with a winner of our own."""

    def decided(*given: Any) -> Decision:
        found = decide(*given)
        verdict = found.judged[strategy].model_copy(update={"verdict": "promote"})
        return replace(found, judged={**found.judged, strategy: verdict}, verdict="promote", winner=strategy)

    return decided


@pytest.mark.soak
def test_a_strategy_promoted_after_a_skipped_night_is_renewed_every_night(begun: Tiny) -> None:
    run(begun, 3)
    skipped(begun, 4)
    said = promote(begun, "tuned")
    assert "not pinned" in said
    (first,) = run(begun, 5)
    assert first.served is not None and first.served.strategy == "tuned"
    for night in (first, *run(begun, 6)):
        renewed = night.judged["tuned"].verdict == "promote" and night.champion and night.champion.strategy == "tuned"
        entries = [entry for entry in begun.log() if entry.period == night.period and entry.strategy == "tuned"]
        assert [entry.by for entry in entries] == (["gate"] if renewed else [])


def test_what_names_one_checkpoint_is_pinned(begun: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    second = begun.chain()[2]
    run(begun, 3)
    assert "not pinned" in promote(begun, "tuned")
    assert "pinned: the gate" in promote(begun, "tuned", "again", period="2026-01-03")
    newest = begun.chain()[3]
    assert "not pinned" in promote(begun, "tuned", "seen", seen=newest.hash[:12]), "a look at the newest night"
    with pytest.raises(RuntimeError, match=r"2026-01-04 is manifest .* now, not .* as you saw it"):
        promote(begun, "tuned", "seen", seen=second.hash[:12])
    proposed = [name for name, judged in second.judged.items() if judged.verdict == "promote"]
    if len(proposed) == 1:
        assert "of 2026-01-03 serves" in (said := promote(begun, "", "that one", seen=second.hash[:12]))
        assert "pinned: the gate" in said
    assert "of the promotion log stands" in capsys.readouterr().err


def test_an_act_that_is_done_says_so_though_the_report_fails(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*plan: object) -> str:
        raise FileExistsError(17, "File exists", "lake")

    monkeypatch.setattr(nightloop.flows.promote, "publish", away)
    monkeypatch.setattr(nightloop.flows.promote, "scheduled_time", lambda: datetime.now(UTC))
    plan = str(begun.path)
    nightloop.flows.promote.promote(plan, "tuned", reason="trial", force=True)
    nightloop.flows.promote.promote(plan, "popular", reason="trial", force=True)
    first = nightloop.flows.promote.rollback(plan, reason="incident 7")
    assert first.startswith("tuned of 2026-01-03 serves from now on (entry 3")
    again = nightloop.flows.promote.rollback(plan, reason="incident 7")
    assert again.startswith("already done as entry 3: tuned of 2026-01-03 serves") and len(begun.log()) == 3
    with pytest.raises(ValueError, match="no earlier champion"):
        nightloop.flows.promote.rollback(plan, reason="incident 7", from_entry=3)
    assert "unpin by" in nightloop.flows.promote.promote(plan, reason="it is over", unpin=True)
    assert "pin by" in nightloop.flows.promote.promote(plan, reason="the sale", pin=True)
    with pytest.raises(ValueError, match="pin and unpin were both given"):
        nightloop.flows.promote.promote(plan, reason="x", pin=True, unpin=True)
    with pytest.raises(ValueError, match="a promotion needs a reason"):
        nightloop.flows.promote.promote(plan, "popular", force=True)


def test_an_artifact_that_cannot_be_drawn_does_not_hide_the_outcome(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*what: object, **more: object) -> None:
        raise ConnectionError("the Prefect server is gone")

    monkeypatch.setattr(nightloop.tasks.promote, "show_markdown", gone)
    assert "serves from now on" in promote(begun, "tuned")
    assert "entry 1 of the promotion log stands" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gate", None])
def test_who_acted_is_never_taken_for_the_gate(begun: Tiny, name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def user() -> str:
        if name is None:
            raise KeyError("getpwuid(): uid not found: 65534")
        return name

    monkeypatch.setattr(getpass, "getuser", user)
    promote(begun, "tuned")
    assert begun.log()[-1].by != "gate" and begun.log()[-1].by.strip()


def test_a_cut_read_of_a_finished_night_does_not_run_it_again(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real, cut = begun.record(), Directory.read, []

    def short(store: Directory, key: str) -> tuple[bytes, str] | None:
        found = real(store, key)
        if found and key == manifest_store.manifest_key("tiny", 2, 1) and len(cut) < 2:
            cut.append(key)
            return found[0][: len(found[0]) // 2], found[1]
        return found

    monkeypatch.setattr(Directory, "read", short)
    (night,) = run(begun, 2)
    assert cut and night.revision == 1 and begun.record() == before


def test_two_clocks_that_differ_are_named(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, real = nightloop.tasks.resources.open_store(), nightloop.flows.pipeline_lock.time.time
    assert abs(store_clock(objects) - real()) < 5
    for skew in (3600.0, -3600.0, 45.0):
        monkeypatch.setattr(nightloop.flows.pipeline_lock.time, "time", lambda skew=skew: real() + skew)
        with pytest.raises(
            RuntimeError, match=r"clock of this machine says \d{4}-.* UTC, the store's says \d{4}-.* UTC"
        ):
            store_clock(objects)
        with pytest.raises(RuntimeError, match="nothing was changed"), hold_pipeline_lock(begun.plan):
            pass
    assert objects.read(lease.lease_key("tiny")) is None or not lease.other_holder(
        objects, lease.lease_key("tiny"), real()
    )


def test_a_dead_sweep_is_told_with_its_true_end(begun: Tiny) -> None:
    objects = nightloop.tasks.resources.open_store()
    now = store_clock(objects)
    assert lease.take_key(objects, lease.SWEEP, "the dead sweep", now, 90)
    with try_pipeline_lock(begun.plan) as busy:
        assert busy.startswith("a sweep of the store is held by the run the dead sweep; its lease ends in ")
        assert busy.split()[-7] in ("88", "89", "90")
    assert lease.take_key(objects, lease.SWEEP, "the dead sweep", now, 3)
    with hold_pipeline_lock(begun.plan):
        assert lease.other_holder(objects, lease.lease_key("tiny"), now)


def test_maintain_of_a_store_whose_pipelines_are_elsewhere(begun: Tiny, tmp_path: Path) -> None:
    """Links are followed, an unmounted disk refuses, an older store asks first; nothing that is needed ever goes."""
    store, plan = begun.home / "home" / "store", begun.plan
    needed, act, week = begun.record(), trash.RemovalRequest("me", NOW), timedelta(days=7)
    orphan = blobs.put(nightloop.tasks.resources.open_store(), b"nobody names this")
    (store / "pipelines").rename(tmp_path / "disk")
    (store / "pipelines").mkdir()
    for refused in (nightloop.tasks.maintain.sweep.fn, nightloop.tasks.maintain.compact.fn):
        with pytest.raises(ValueError, match="the store does not show it"):
            refused(plan, act, week, False)
    for left in (store / "pipelines").rglob("*.json"):
        left.unlink()
    for folder in sorted((store / "pipelines").rglob("*"), reverse=True):
        folder.rmdir()
    (store / "pipelines").rmdir()
    (store / "pipelines").symlink_to(tmp_path / "disk")
    assert (
        "1 objects of the store were moved to the trash" in nightloop.tasks.maintain.sweep.fn(plan, act, week, False)[0]
    )
    assert begun.record().keys() == needed.keys()
    assert f"blobs/{orphan}" in nightloop.tasks.maintain.restore_trash.fn("all", act)
    (store / pipelines.KEY).unlink()
    for refused in (nightloop.tasks.maintain.sweep.fn, nightloop.tasks.maintain.compact.fn):
        with pytest.raises(ValueError, match=r"no complete record.*--adopt"):
            refused(plan, act, week, True)
    said = nightloop.tasks.maintain.adopt.fn(plan, "")
    assert said[0] == "tiny: nights from 1 on" and said[-1].endswith("--adopt --confirm tiny")
    with pytest.raises(ValueError, match="shows no pipeline shop"):
        nightloop.tasks.maintain.adopt.fn(plan, "tiny, shop")
    assert "complete: tiny" in nightloop.tasks.maintain.adopt.fn(plan, "tiny")[0]
    assert "0 deleted" in nightloop.tasks.maintain.sweep.fn(plan, act, week, False)[0]
    with pytest.raises(ValueError, match="give all, or the number of a removal"):
        nightloop.tasks.maintain.restore_trash.fn("tomorrow", act)
    with pytest.raises(ValueError, match="give all, or the number of a removal"):
        nightloop.tasks.maintain.restore_trash.fn("9" * 5000, act)


def test_a_catalog_or_a_store_that_does_not_know_the_nights_gives_up_nothing(
    begun: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, act, none = begun.plan, trash.RemovalRequest("me", NOW), timedelta(0)
    files = sorted((begun.home / "home" / "lake").rglob("*.parquet"))
    catalog = begun.home / "home" / "lake" / "tiny.sqlite"
    catalog.rename(tmp_path / "catalog")
    with pytest.raises(
        ValueError, match=r"the lake was not changed: its catalog does not have \d versions.*Restore the catalog"
    ):
        nightloop.tasks.maintain.compact.fn(plan, act, none, False)
    assert sorted((begun.home / "home" / "lake").rglob("*.parquet")) == files and files
    for left in (begun.home / "home" / "lake").glob("tiny.sqlite*"):
        left.unlink()
    (tmp_path / "catalog").rename(catalog)
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "another"))
    for _ in range(2):
        assert "this store has no night of tiny" in nightloop.tasks.maintain.compact.fn(plan, act, none, False)[0]
    monkeypatch.delenv("NIGHTLOOP_STORE")
    assert "the lake was compacted; 0 versions" in nightloop.tasks.maintain.compact.fn(plan, act, none, False)[0]
    assert run(begun, 2)[0].revision == 1


def test_versions_that_no_night_read_wait_for_the_grace_period(begun: Tiny) -> None:
    plan, week = begun.plan, timedelta(days=7)
    begun.deliver(3, bad=True)
    with nightloop.tasks.resources.keep_open(plan):
        collect_all(plan, 3)  # version 1, that no night reads
    begun.deliver(3)
    run(begun, 3)  # version 2
    waiting = nightloop.tasks.maintain.compact.fn(plan, trash.RemovalRequest("me", NOW), week, False)
    assert "0 versions that no night read were deleted, 1 wait" in waiting[0]
    assert (
        "0 would be deleted now"
        in nightloop.tasks.maintain.compact.fn(plan, trash.RemovalRequest("me", NOW + 6 * DAY), week, True)[0]
    )
    assert (
        "1 wait" in nightloop.tasks.maintain.compact.fn(plan, trash.RemovalRequest("me", NOW + 6 * DAY), week, False)[0]
    )
    assert (
        "1 versions that no night read were deleted, 0 wait"
        in (nightloop.tasks.maintain.compact.fn(plan, trash.RemovalRequest("me", NOW + 8 * DAY), week, False)[0])
    )
    assert not trash.open_removals(nightloop.tasks.resources.open_store())
    assert run(begun, 3)[0].revision == 1
