"""Calendars of hundreds of thousands of periods with few nights: answered without looking for each one."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from nightloop.flows.status import status
from nightloop.tasks.lake.periods import index_at, newest_closed, parse, period
from nightloop.tasks.plan.plan import Calendar
from nightloop.tasks.record.backfill_plan import MOST, backfill_plan
from nightloop.tasks.record.due import due_nights
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.period_states import AHEAD, overview
from tests.flows.tiny_pipeline import make
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, published
from tests.record.test_backfill_plan import plan

HOURLY = {"every": "hour", "start": "1950-01-01"}
LAST = 670_000


class Counting(Memory):
    """A store that counts how often it is read."""

    reads = 0

    def read(self, key: str) -> tuple[bytes, str] | None:
        self.reads += 1
        return super().read(key)


class Lake:
    """A lake that has what nights read, and nothing newer."""

    def query(self, name: str) -> pa.Table:
        assert name == "read/all_versions"
        return pa.table({"period": [*range(1000)], "version": [1] * 1000, "digest": [""] * 1000})


def nights(store: Memory, *indexes: int) -> dict[int, Manifest]:
    """The store with these nights, each on the one before it where that is there."""
    found: dict[int, Manifest] = {}
    for index in indexes:
        found[index] = published(store, index, found.get(index - 1))
    return found


@pytest.mark.parametrize("count", [0, 1, 150])
def test_what_is_due_is_found_without_reading_every_period(count: int) -> None:
    store = Counting()
    nights(store, *range(count))
    store.reads = 0
    with pytest.raises(ValueError, match=f"{LAST - count} nights before this one are missing, more than catch_up = 31"):
        due_nights(store, plan(), LAST, 31)
    assert store.reads < 2 * count + 200
    assert due_nights(store, plan(), count + 3, 31) == list(range(count, count + 4))
    assert due_nights(store, plan(), max(count - 1, 0), 31) == [max(count - 1, 0)]


@pytest.mark.parametrize("there", [(), (0, 1, 2), (0, 1, *range(300, 303)), tuple(range(AHEAD - 1, AHEAD + 5))])
def test_an_overview_looks_a_little_beyond_the_last_night(there: tuple[int, ...]) -> None:
    store = Counting()
    nights(store, *there)
    store.reads = 0
    chain, states = overview(store, Lake(), plan(), LAST)  # type: ignore[arg-type]
    assert sorted(chain) == list(there) and list(states) == list(range(len(states)))
    assert max(there, default=-1) < len(states) <= max(there, default=0) + 2 * AHEAD + 1
    assert store.reads < 4 * AHEAD
    whole = overview(store, Lake(), plan(), 310)[1]  # type: ignore[arg-type]
    assert list(whole) == list(range(311)) and all(whole[i] == states[i] for i in range(311))


def test_a_backfill_of_far_too_many_nights_is_refused_in_words() -> None:
    store = Memory()
    chain = nights(store, 0, 1)
    _, states = overview(store, Lake(), plan(), LAST)  # type: ignore[arg-type]
    later = LAST - max(states)
    with pytest.raises(
        ValueError, match=f"670,001 nights; one backfill runs at most 10,000: let it end at {MOST + 1} or"
    ):
        backfill_plan(states, "missing", 0, LAST, str, later)
    steps = backfill_plan(states, "missing", 0, MOST + 1, str, later)
    assert [s.action for s in steps[:3]] == ["skip", "skip", "run"] and len(steps) == MOST + 2 and len(chain) == 2
    with pytest.raises(ValueError, match=r"not within 0 \(the root\) to 670000 \(the newest"):
        backfill_plan(states, "missing", 0, LAST + 1, str, later)
    with pytest.raises(ValueError, match="night 599999 is missing, and night 600000 builds on it"):
        backfill_plan(states, "missing", 600_000, 600_001, str, later)
    skipped = backfill_plan(states, "stale", 0, LAST, str, later)
    assert len(skipped) == len(states) + 1 and skipped[-1].why.startswith("this night and the 66")


def test_the_calendar_itself_is_quick_far_from_its_start() -> None:
    rule, began = Calendar.model_validate(HOURLY), time.process_time()
    instant = 1_767_225_600_000_000  # 2026-01-01
    assert index_at(rule, instant) == newest_closed(rule, instant) + 1 == 666_216
    assert period(rule, 666_216).name == "2026-01-01T00:00" and parse(rule, "2026-01-01T00:00").index == 666_216
    assert time.process_time() - began < 1.0


def test_the_status_of_a_pipeline_without_nights_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = make(tmp_path, monkeypatch, {"periods": HOURLY, "pretrain_periods": 1, "pipeline": PIPELINE})
    began = time.process_time()
    found = status(str(tiny.path))
    assert time.process_time() - began < 5.0, "it looked at every period"
    assert len(found["nights"]) == AHEAD and found["missing_later"] > LAST - AHEAD - 10_000
    assert len(found["text"]) < 20_000 and "later periods are missing and not listed" in found["text"]
    total = f"{AHEAD + found['missing_later']:,} nights"
    assert f"{total} missing: 1950-01-01T00:00, 1950-01-01T01:00, 1950-01-01T02:00 and" in found["text"]
