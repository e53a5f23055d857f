"""Decisions: what an operator may pass over or accept, and plans that no night can go on under."""

from __future__ import annotations

import getpass
import os
import shutil
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
import yaml

from nightloop.flows.backfill import backfill
from nightloop.flows.nightly import nightly
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.record.overrides import read_override
from nightloop.tasks.resources import open_store
from nightloop.tasks.schedule import decide_override
from tests.flows.test_flows import clock, periods, tiny
from tests.flows.tiny_pipeline import Tiny, raw_plan

pytestmark = pytest.mark.xdist_group("decisions")
__all__ = ["tiny"]


def test_a_period_whose_file_never_comes_is_passed_over_and_taken_up_when_it_does(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    late = tiny.home / "in" / "2026-01-04.parquet"
    kept = late.read_bytes()
    for broken in (None, b"PAR1 and no more"):
        late.unlink() if broken is None else late.write_bytes(broken)
        with pytest.raises((FileNotFoundError, ValueError), match="2026-01-04"):
            nightly(str(tiny.path), "2026-01-04")
    nightly(str(tiny.path), "2026-01-04", skip="the vendor had an outage")
    nightly(str(tiny.path))
    assert [tiny.chain()[n].outcome for n in (3, 4)] == ["skipped", "complete"]
    late.write_bytes(kept)
    nightly(str(tiny.path), "2026-01-04")
    assert (tiny.chain()[3].outcome, tiny.chain()[3].revision) == ("complete", 2)


@pytest.mark.parametrize("lost", [False, True])
def test_a_period_that_was_skipped_without_its_file_is_skipped_again_where_its_night_is_stale(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """The backfill that `status` advises stopped at it: deliver the file, which is lost for ever. `lost`: the lake is too."""
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    (tiny.home / "in" / "2026-01-04.parquet").unlink()
    nightly(str(tiny.path), "2026-01-04", skip="the vendor lost it")
    nightly(str(tiny.path), "2026-01-05")
    if lost:
        (tiny.home / "home" / "lake" / "tiny.sqlite").unlink()
        shutil.rmtree(tiny.home / "home" / "lake" / "tiny")
    else:
        earlier = tiny.home / "in" / "2026-01-03.parquet"
        pq.write_table(pq.read_table(earlier).slice(1), earlier)
        nightly(str(tiny.path), "2026-01-03")
    backfill(str(tiny.path), end="2026-01-05", what="stale")
    chain = tiny.chain()
    assert [(chain[n].outcome, chain[n].reason) for n in (3, 4)] == [
        ("skipped", "the vendor lost it"),
        ("complete", ""),
    ]
    assert (chain[3].previous, chain[4].previous) == (chain[2].hash, chain[3].hash)


def test_nobody_accepts_a_delivery_that_validation_has_not_judged(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-01-05T02:00:00+00:00")
    with pytest.raises(ValueError, match="validation has not stopped version 1"):
        nightly(str(tiny.path), "2026-01-03", accept="checked with the vendor")
    tiny.deliver(3, bad=True)
    with pytest.raises(RuntimeError, match="stopped by validation"):
        nightly(str(tiny.path), "2026-01-04")
    bad = (tiny.home / "in" / "2026-01-04.parquet").read_bytes()
    tiny.deliver(3)
    with pytest.raises(ValueError, match=r"has not judged version 2 of 2026-01-04.*stopped version 1"):
        nightly(str(tiny.path), "2026-01-04", accept="prices are in another currency")
    assert tiny.chain()[3].outcome == "blocked"
    (tiny.home / "in" / "2026-01-04.parquet").write_bytes(bad)
    with pytest.raises(RuntimeError, match="stopped by validation"):
        nightly(str(tiny.path), "2026-01-04")
    nightly(str(tiny.path), "2026-01-04", accept="prices are in another currency")
    assert tiny.chain()[3].outcome == "complete" and "another currency" in str(tiny.chain()[3].validated)


def test_a_store_that_is_not_there_is_no_new_store(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny.home / "home" / "store"
    before = tiny.record()
    store.rename(away := store.with_name("away"))
    store.mkdir()
    for run in (lambda: nightly(str(tiny.path)), lambda: backfill(str(tiny.path), what="all")):
        with pytest.raises(
            RuntimeError, match=r"has no record of tiny, and the lake holds 3 periods of it, up to 2026-01-03"
        ):
            run()
        Directory(store).create("pipelines/tiny/serving/server.memory", b"of a service that still runs")
    assert not list(store.glob("pipelines/**/*.json"))
    shutil.rmtree(store)
    away.rename(store)
    nightly(str(tiny.path))
    assert tiny.record() == before


@pytest.mark.parametrize(
    "periods", [{"every": "week", "start": "2026-01-01"}, {"every": "day", "start": "2026-01-02"}, {"rows": 50}]
)
def test_a_plan_with_other_periods_is_refused_before_anything_is_collected(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, periods: dict[str, object]
) -> None:
    clock(monkeypatch, "2026-02-06T02:00:00+00:00")
    nightly(str(tiny.path), "2026-01-03")
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"periods": periods})))
    before = tiny.record()
    for run in (lambda: nightly(str(tiny.path)), lambda: backfill(str(tiny.path), what="all")):
        with pytest.raises(ValueError, match=r"periods of tiny changed since 2026-01-02.*give the pipeline a new name"):
            run()
    assert tiny.record() == before


def test_a_finished_history_may_be_given_another_end(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    nightly(str(tiny.path), "2026-01-03")
    calendar = {"every": "day", "start": "2026-01-01", "end": "2026-01-05"}
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"periods": calendar})))
    nightly(str(tiny.path))
    assert periods(tiny) == [1, 2, 3]


def test_a_night_that_gets_no_row_says_what_the_files_hold(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, "2026-03-02T02:00:00+00:00")
    source = {"use": "files", "options": {"path": f"{tiny.home}/in/*.parquet"}}
    tiny.path.write_text(
        yaml.safe_dump(
            raw_plan(
                tiny.home, {"source": source, "pipeline": "whole", "periods": {"every": "day", "start": "2026-02-01"}}
            )
        )
    )
    with pytest.raises(
        RuntimeError, match=r"clean rows is 0.*none of its \d,\d+ rows lies in the period; its times go from 2026-01-01"
    ):
        nightly(str(tiny.path), "2026-02-02")


def test_a_changed_plan_is_made_again_from_the_lake_where_files_are_gone(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are kept for a while, and chains for years."""
    clock(monkeypatch, "2026-01-06T02:00:00+00:00")
    nightly(str(tiny.path), tiny.name(3), catch_up=9)
    for day in (0, 1, 2):
        (tiny.home / "in" / f"{tiny.name(day)}.parquet").unlink()
    more = raw_plan(tiny.home)
    more["strategies"]["still too"] = {"use": "NoUpdate"}
    more["strategies"] = {name.replace(" ", "-"): part for name, part in more["strategies"].items()}
    tiny.path.write_text(yaml.safe_dump(more))
    backfill(str(tiny.path), end=tiny.name(3), what="all")
    chain = tiny.chain()
    assert sorted(chain) == [1, 2, 3] and all("still-too" in night.checkpoints for night in chain.values())
    (tiny.home / "in" / f"{tiny.name(4)}.parquet").unlink()
    with pytest.raises(FileNotFoundError):  # nothing of it ever landed
        nightly(str(tiny.path), tiny.name(4))


def test_a_user_of_a_container_who_has_no_name_may_decide(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000650000")

    monkeypatch.setattr(getpass, "getuser", nameless)
    landing = Landing(3, 1, "d" * 64, 0, True)
    decide_override(tiny.plan, landing, "", "the vendor had an outage", datetime(2026, 1, 6, tzinfo=UTC))
    found = read_override(open_store(), "tiny", landing.place)
    assert found is not None and found.by == f"user {os.getuid()}"
