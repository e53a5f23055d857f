"""The flows as Prefect runs them: which nights a run owes, what a backfill would do, who moves the champion."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pyarrow import parquet

import nightloop.flows.backfill
import nightloop.flows.nightly
import nightloop.flows.promote
import nightloop.flows.run_names
import nightloop.tasks.report
import nightloop.tasks.resources
from nightloop.flows.backfill import backfill
from nightloop.flows.maintain import maintain
from nightloop.flows.nightly import nightly
from nightloop.flows.pipeline_lock import hold_pipeline_lock
from nightloop.flows.promote import promote, rollback
from nightloop.flows.status import report, status
from nightloop.tasks.objects import blobs, lease
from tests.flows.tiny_pipeline import Tiny, begin, raw_plan
from tests.record.act_sequences import check_invariants

pytestmark = [
    pytest.mark.xdist_group("flows"),  # one process: what these tests begin from is made once
]
LIKE_ANY_OTHER = {"severity": "warn", "width": 1e-9, "relative": 0}
WARY = {"volume": LIKE_ANY_OTHER, "new_items": LIKE_ANY_OTHER | {"absolute": 0}}  # every night is odd in some way


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """Nights 1 (2026-01-02, the root) and 2 are done; the clock says 02:00 of 2026-01-04, so that night 2 is newest."""
    with pytest.MonkeyPatch.context() as plainly:
        found = begin(tmp_path_factory, plainly, 1, 2)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(found.home / "home"))
    clock(monkeypatch, "2026-01-04T02:00:00+00:00")
    yield found
    check_invariants(nightloop.tasks.resources.open_store(), {}, "tiny")


def clock(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The time by which the runs from now on go."""
    for flow in (nightloop.flows.nightly, nightloop.flows.run_names, nightloop.flows.backfill, nightloop.flows.promote):
        monkeypatch.setattr(flow, "scheduled_time", lambda: datetime.fromisoformat(when))


def periods(tiny: Tiny) -> list[int]:
    return sorted(tiny.chain())


def test_nightly_names_the_period_of_its_schedule_and_catches_up_in_order(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny.record()
    assert len(nightly(str(tiny.path))) == 1 and tiny.record() == before, "night 2 was done already"
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    told = nightly(str(tiny.path))
    assert [line[:10] for line in told] == ["2026-01-04", "2026-01-05"]
    assert periods(tiny) == [1, 2, 3, 4]
    assert (tiny.home / "home" / "reports" / "tiny.html").stat().st_size > 1_000


def test_what_nightly_refuses_changes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny.record()
    with pytest.raises(ValueError, match=r"period 2026-01-04 is not over yet.*newest closed one is 2026-01-03"):
        nightly(str(tiny.path), "2026-01-04")
    with pytest.raises(ValueError, match="yesterday"):
        nightly(str(tiny.path), "yesterday")
    with pytest.raises(ValueError, match="is before the first night"):
        nightly(str(tiny.path), "2026-01-01")
    clock(monkeypatch, "2026-01-08T02:00:00+00:00")
    with pytest.raises(ValueError, match=r"3 nights before this one are missing, more than catch_up = 2.*backfill"):
        nightly(str(tiny.path), catch_up=2)
    with pytest.raises(FileNotFoundError, match="no plan 'nothing'"):
        nightly("nothing")
    assert tiny.record() == before


def test_a_stopped_night_fails_with_what_to_do_and_the_operator_decides(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    tiny.deliver(3, bad=True)
    with pytest.raises(RuntimeError, match=r"2026-01-04 of tiny was stopped by validation.*--accept.*--skip"):
        nightly(str(tiny.path))
    assert periods(tiny) == [1, 2, 3] and tiny.chain()[3].outcome == "blocked"
    nightly(str(tiny.path), "2026-01-04", skip="the shop was closed")
    assert tiny.chain()[3].outcome == "skipped" and tiny.chain()[3].reason == "the shop was closed"
    nightly(str(tiny.path))
    assert periods(tiny) == [1, 2, 3, 4]


def test_a_request_to_skip_does_not_undo_a_night_that_is_complete_unless_it_is_meant(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The night was blocked when a person asked; the run waited for its worker, and the vendor delivered again."""
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    tiny.deliver(3, bad=True)
    with pytest.raises(RuntimeError, match="was stopped by validation"):
        nightly(str(tiny.path), "2026-01-04")
    tiny.deliver(3)
    nightly(str(tiny.path), "2026-01-04")
    before = tiny.record()
    with pytest.raises(
        RuntimeError, match=r"2026-01-04 of tiny is complete, and this request to skip it is \d+ minutes"
    ):
        nightly(str(tiny.path), "2026-01-04", skip="the vendor's file is broken", force=True)
    assert tiny.record() == before and tiny.chain()[3].outcome == "complete"
    monkeypatch.setattr(nightloop.flows.nightly, "utc_now", lambda: datetime.fromisoformat("2026-01-06T02:01:00+00:00"))
    with pytest.raises(RuntimeError, match=r"2026-01-04 of tiny is complete; nothing was changed.* --skip .* --force"):
        nightly(str(tiny.path), "2026-01-04", skip="a wrong date")
    assert tiny.record() == before and tiny.chain()[3].outcome == "complete"
    nightly(str(tiny.path), "2026-01-04", skip="it poisoned the models", force=True)
    assert tiny.chain()[3].outcome == "skipped", "who asks now has seen it"


def test_a_dry_backfill_shows_its_plan_and_changes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    before = tiny.record()
    told = backfill(str(tiny.path), dry_run=True)
    assert [line.split(",")[0] for line in told] == [
        "2026-01-02: skip", "2026-01-03: skip", "2026-01-04: run", "2026-01-05: run",
    ]  # fmt: skip
    assert tiny.record() == before


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2026-01-03", "2026-01-02", "2026-01-0|before|after|reversed"),
        ("2026-01-02", "2026-01-09", "closed|over|future"),
        ("2026-01-01", "", "root"),
        ("../../etc", "", "period"),
        ("'; drop table logs", "", "period"),
    ],
)
def test_a_range_that_cannot_be_is_refused(tiny: Tiny, start: str, end: str, said: str) -> None:
    before = tiny.record()
    with pytest.raises((ValueError, LookupError), match=said) as told:
        backfill(str(tiny.path), start, end)
    assert tiny.record() == before and len(str(told.value)) < 1_000


def test_backfills_of_what_is_missing_and_stale_follow_only_at_the_newest_period(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    backfill(str(tiny.path), what="missing")
    assert periods(tiny) == [1, 2, 3, 4] and not tiny.log(), "nobody asked for the champion to move"
    backfill(str(tiny.path), "2026-01-04", "2026-01-04", what="all", move_champion=True)
    assert tiny.chain()[3].revision == 1 and not tiny.log(), "it did not end at the newest night"
    assert all(": skip" in line for line in backfill(str(tiny.path), what="stale", dry_run=True)), "nothing is stale"
    shorter(tiny, 2)
    nightly(str(tiny.path), "2026-01-03")
    told = backfill(str(tiny.path), what="stale", dry_run=True)
    assert [line.split(",")[0] for line in told][2:] == ["2026-01-04: run", "2026-01-05: run"], told
    assert "2026-01-03, was run again since" in told[2]
    backfill(str(tiny.path), what="stale", move_champion=True)
    chain = tiny.chain()
    assert [chain[i].revision for i in (1, 2, 3, 4)] == [1, 2, 2, 2]
    champion = chain[4].champion
    assert (champion is None and not tiny.log()) or tiny.log()[-1].strategy == champion.strategy


def test_a_backfill_moves_the_champion_to_nights_that_are_complete_already(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    backfill(str(tiny.path), what="missing")
    chosen = tiny.chain()[4].champion
    assert chosen is not None and not tiny.log()
    assert backfill(str(tiny.path), move_champion=True)[-1].startswith("the champion after 2026-01-05: ")
    assert [(entry.strategy, entry.checkpoint) for entry in tiny.log()] == [(chosen.strategy, chosen.checkpoint)]
    assert backfill(str(tiny.path), move_champion=True)[-1].endswith("unchanged") and len(tiny.log()) == 1


def shorter(tiny: Tiny, day: int) -> None:
    """The day is delivered again, without its last row."""
    place = tiny.home / "in" / f"{tiny.name(day)}.parquet"
    rows = parquet.read_table(place)
    parquet.write_table(rows.slice(0, rows.num_rows - 1), place)


def test_a_backfill_stops_at_a_warning_where_it_is_told_to(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    wary = raw_plan(tiny.home, {"expectations": WARY})
    tiny.path.write_text(yaml.safe_dump(wary, sort_keys=False))
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    backfill(str(tiny.path), "2026-01-04", stop_on="warned")
    assert [v.verdict for v in tiny.chain()[3].validated] == ["warned"]
    assert periods(tiny) == [1, 2, 3], "the second night was not begun"
    backfill(str(tiny.path), what="missing")
    assert periods(tiny) == [1, 2, 3, 4]


def test_only_chosen_strategies_are_trained(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-01-05T02:00:00+00:00")
    with pytest.raises(ValueError, match=r"still was not chosen, but its inputs of 2026-01-04 changed"):
        backfill(str(tiny.path), strategies=["tuned"])
    assert periods(tiny) == [1, 2]
    with pytest.raises(ValueError, match=r"no strategy 'nobody'.*still, tuned, popular"):
        backfill(str(tiny.path), strategies=["nobody"])


def test_promote_and_roll_back_by_hand_and_what_served_when(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="give --force"):
        promote(str(tiny.path), "still", reason="trial")
    with pytest.raises(LookupError, match="no night 2026-01-05"):
        promote(str(tiny.path), "still", "2026-01-05", reason="trial")
    with pytest.raises(ValueError, match="no champion yet"):
        rollback(str(tiny.path), reason="none")
    assert "still of 2026-01-03 serves" in promote(str(tiny.path), "still", reason="first", force=True)
    clock(monkeypatch, "2026-01-04T03:00:00+00:00")
    promote(str(tiny.path), "tuned", reason="second", force=True)
    clock(monkeypatch, "2026-01-04T04:00:00+00:00")
    with pytest.raises(ValueError, match="needs a reason"):
        rollback(str(tiny.path))
    assert "still of 2026-01-03 serves" in rollback(str(tiny.path), reason="third")
    assert [e.action for e in tiny.log()] == ["promote", "promote", "rollback"]
    served = [status(str(tiny.path), on)["served"] for on in ("2026-01-04T01:00", "2026-01-04T03:30", "2026-01-05")]
    assert served[0] is None and (served[1]["strategy"], served[2]["strategy"]) == ("tuned", "still")


def test_the_second_of_two_writers_is_told_and_a_dead_one_is_waited_for(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = tiny.record()
    monkeypatch.setenv("NIGHTLOOP_LEASE_SECONDS", "5")  # a lease is renewed after a third of it
    with hold_pipeline_lock(tiny.plan):
        for flow in (lambda: nightly(str(tiny.path)), lambda: backfill(str(tiny.path), what="all")):
            with pytest.raises(
                RuntimeError, match=r"tiny is being written: tiny is held by the run .* Nothing was changed"
            ):
                flow()
    assert tiny.record() == before
    assert lease.take_lease(nightloop.tasks.resources.open_store(), "tiny", "killed", time.time(), 5) is not None
    clock(monkeypatch, "2026-01-05T02:00:00+00:00")
    nightly(str(tiny.path))
    assert periods(tiny) == [1, 2, 3] and "the run killed; its lease ends in" in caplog.text


def test_two_nightlies_at_once_end_as_one_alone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-01-05T02:00:00+00:00")
    monkeypatch.setenv("NIGHTLOOP_LEASE_SECONDS", "5")
    told: list[str] = []

    def one() -> None:
        try:
            told.extend(nightly(str(tiny.path)))
        except RuntimeError as error:
            told.append(str(error))

    both = [threading.Thread(target=one) for _ in range(2)]
    [thread.start() for thread in both]
    [thread.join() for thread in both]
    assert periods(tiny) == [1, 2, 3] and len(told) == 2, told
    assert all(line.startswith("2026-01-04") or "is being written: tiny is held by the run" in line for line in told), (
        told
    )


def test_maintain_keeps_what_the_chain_and_the_log_need(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = nightloop.tasks.resources.open_store()
    needed = tiny.record()
    idle = blobs.put(objects, b"nobody names this")
    dry = maintain(str(tiny.path), dry_run=True)
    assert any("1 objects of the store would be moved to the trash" in line for line in dry)
    assert objects.read(blobs.blob_key(idle))
    maintain(str(tiny.path))
    assert objects.read(blobs.blob_key(idle)) is None
    assert f"blobs/{idle}" in maintain(str(tiny.path), restore="all")
    assert tiny.record() == {**needed, blobs.blob_key(idle): b"nobody names this"}
    clock(monkeypatch, "2026-01-05T02:00:00+00:00")
    nightly(str(tiny.path))
    assert periods(tiny) == [1, 2, 3]
    assert json.dumps(status(str(tiny.path)), default=str)


def test_a_scheduled_run_is_named_by_its_period(tiny: Tiny) -> None:
    def name(period: str) -> str:
        return nightly.run_name("nightly", {"plan": str(tiny.path), "period": period})

    assert name("") == "nightly tiny 2026-01-03" and name("2026-01-02") == "nightly tiny 2026-01-02"
    tiny.path.write_text("pipeline: [")
    assert name("") == "nightly tiny", "what is wrong is told by the run itself"


def test_status_advises_nothing_that_would_be_refused(tiny: Tiny) -> None:
    def advice(**changes: object) -> str:
        tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, changes)))
        return " ".join(f"{one['text']} {one['to_do']}" for one in status(str(tiny.path))["findings"])

    assert "more than a nightly run catches up (31), so run `nightloop backfill" in advice()
    for changes, said in (
        ({"seed": 7}, "changed since 2026-01-03: seed"),
        ({"periods": {"every": "hour", "start": "2026-01-01"}}, "the periods of tiny changed"),
        ({"model": {"use": "MFF"}}, "MFF"),
    ):
        told = advice(**changes)
        assert told.startswith("No night runs under this plan: ") and said in told and "catches up" not in told
    assert "No night runs" not in advice(gate={"evidence_nights": 3, "resamples": 200})


def test_a_report_is_drawn_anew_only_where_it_has_something_new_to_tell(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    real = nightloop.tasks.report.page
    monkeypatch.setattr(nightloop.tasks.report, "page", lambda history: drawn.append(history.pipeline) or real(history))
    nightly(str(tiny.path))
    page = tiny.home / "home" / "reports" / "tiny.html"
    before = page.read_bytes()
    nightly(str(tiny.path))
    assert len(drawn) == 1 and page.read_bytes() == before, "the same nights are told already"
    promote(str(tiny.path), "still", reason="trial", force=True)
    assert len(drawn) == 2 and page.read_bytes() != before
    told = page.read_bytes()
    page.write_text("somebody changed it")
    nightly(str(tiny.path))
    assert len(drawn) == 2 and page.read_bytes() == told, "the store has it"


def test_the_report_is_current_on_every_machine_whichever_ran_the_night(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nightly(str(tiny.path))
    stored = tiny.home / "home" / "store" / "reports" / "tiny.html"
    assert (
        status(str(tiny.path))["report"] == str(stored) and f"report: file://{stored}" in status(str(tiny.path))["text"]
    )
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tiny.home / "home" / "store"))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(shutil.copytree(tiny.home / "home", tmp_path / "another")))
    (tmp_path / "another" / "reports" / "tiny.html").write_text("of last week")
    found = report(str(tiny.path))
    assert Path(found["path"]).is_relative_to(tmp_path) and Path(found["path"]).read_bytes() == stored.read_bytes()
    promote(str(tiny.path), "still", reason="trial", force=True)
    stored.write_text("cut o")
    assert Path(report(str(tiny.path))["path"]).read_bytes() == stored.read_bytes() and stored.stat().st_size > 1_000
    stored.unlink()
    assert status(str(tiny.path))["report"] is None


def test_a_night_counts_items_that_users_took_since_earlier_periods(tiny: Tiny) -> None:
    days = [pd.read_parquet(tiny.home / "in" / f"{tiny.name(day)}.parquet") for day in (0, 1, 2)]
    pairs = [pd.Series(list(zip(day["user_id"].astype(str), day["item_id"].astype(str), strict=True))) for day in days]
    earlier = set(pairs[0]) | set(pairs[1])
    expected = (pairs[2].isin(earlier) | pairs[2].duplicated()).mean()
    statistics = tiny.chain()[2].validated[-1].statistics
    assert statistics["repeated_share"] == pytest.approx(expected) and pairs[2].duplicated().mean() < expected - 0.1
