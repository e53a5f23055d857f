"""Periods: the calendar with its odd days, equal counts, names and instants."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nightloop.tasks.lake.periods import HOUR, Period, index_at, newest_closed, parse, period
from nightloop.tasks.plan.plan import Calendar, Counts

AMSTERDAM = "Europe/Amsterdam"


def micros(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


def test_days_follow_the_wall_clock_when_the_clocks_change() -> None:
    rule = Calendar(start="2026-03-28", timezone=AMSTERDAM)
    hours = [
        (p.end - p.start) // HOUR
        for p in (period(rule, k) for k in range(3))
        if p.start is not None and p.end is not None
    ]
    assert hours == [24, 23, 24]
    autumn = period(Calendar(start="2026-10-25", timezone=AMSTERDAM), 0)
    assert autumn == Period(0, "2026-10-25", micros("2026-10-25", AMSTERDAM), micros("2026-10-26", AMSTERDAM))
    assert (autumn.end or 0) - (autumn.start or 0) == 25 * HOUR


def test_hours_are_absolute_and_no_two_share_a_name() -> None:
    rule = Calendar(start="2026-10-25T00:00", every="hour", timezone=AMSTERDAM)
    periods = [period(rule, k) for k in range(6)]
    assert all((p.end or 0) - (p.start or 0) == HOUR for p in periods)
    names = [p.name for p in periods]
    assert names[1:5] == ["2026-10-25T01:00", "2026-10-25T02:00", "2026-10-25T02:00+0100", "2026-10-25T03:00"]
    assert [parse(rule, name).index for name in names] == list(range(6))


def test_months_are_of_any_length() -> None:
    rule = Calendar(start="2026-01-01", every="month")
    assert [period(rule, k).name for k in (0, 1, 11, 12)] == ["2026-01", "2026-02", "2026-12", "2027-01"]
    assert parse(rule, "2026-02").index == 1
    quarter = period(Calendar(start="2026-01-01", every="month", length=3), 1)
    assert (quarter.name, quarter.end) == ("2026-04", micros("2026-07-01"))


def test_days_cut_at_local_times() -> None:
    rule = Calendar(start="2026-03-28", timezone=AMSTERDAM, cuts=("10:00", "17:00", "24:00"))
    names = [period(rule, k).name for k in range(4)]
    assert names == ["2026-03-28T00:00", "2026-03-28T10:00", "2026-03-28T17:00", "2026-03-29T00:00"]
    assert period(rule, 3).start == micros("2026-03-29", AMSTERDAM)
    assert (period(rule, 3).end or 0) - (period(rule, 3).start or 0) == 9 * HOUR  # the night the clocks go forward
    late = Calendar(start="2026-01-01T04:00", cuts=("04:00", "16:00"))
    assert [period(late, k).name for k in range(3)] == ["2026-01-01T04:00", "2026-01-01T16:00", "2026-01-02T04:00"]


def test_three_weeks_of_cuts_are_63_periods_whatever_the_clocks_do() -> None:
    """SML's protocol on Adressa (Zhang et al. 2020): the nights the clocks change have an hour less and an hour more."""
    for start, change, night in (
        ("2017-03-13", "2017-03-26", 9),
        ("2017-10-16", "2017-10-29", 11),
        ("2017-01-01", "", 10),
    ):
        rule = Calendar(start=start, timezone="Europe/Oslo", cuts=("10:00", "17:00", "24:00"))
        periods = [period(rule, k) for k in range(63)]
        assert [p.name[-5:] for p in periods] == ["00:00", "10:00", "17:00"] * 21
        assert periods[-1].end == period(Calendar(start=start, timezone="Europe/Oslo"), 20).end
        hours = {p.name: ((p.end or 0) - (p.start or 0)) / HOUR for p in periods}
        assert hours.get(f"{change}T00:00", 10) == night and hours[f"{change or start}T10:00"] == 7
        for k, p in enumerate(periods):
            assert index_at(rule, p.start or 0) == index_at(rule, (p.end or 0) - 1) == k == parse(rule, p.name).index


def test_a_day_that_begins_in_the_morning() -> None:
    rule = Calendar(start="2026-01-01T04:00")
    assert period(rule, 1).name == "2026-01-02T04:00"
    assert index_at(rule, micros("2026-01-02T03:59:59.999999")) == 0


@given(
    every=st.sampled_from(["hour", "day", "week", "month"]), length=st.integers(1, 5), instant=st.integers(0, 2**51),
    zone=st.sampled_from(["UTC", AMSTERDAM, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)  # fmt: skip
def test_every_instant_is_in_one_period(every: str, length: int, instant: int, zone: str) -> None:
    rule = Calendar(start="1969-12-01", every=every, length=length, timezone=zone)  # type: ignore[arg-type]
    index = index_at(rule, instant)
    here = period(rule, index)
    assert here.start is not None and here.end is not None and here.start <= instant < here.end
    assert newest_closed(rule, instant) == index - 1
    assert newest_closed(rule, here.end) == index
    assert parse(rule, here.name) == parse(rule, str(index)) == here


@pytest.mark.parametrize("zone", ["UTC", AMSTERDAM, "America/St_Johns"])
def test_periods_leave_no_gap(zone: str) -> None:
    rule = Calendar(start="2025-12-30", timezone=zone, cuts=("02:30", "10:00"))
    for one, next_ in pairwise(period(rule, k) for k in range(1000)):
        assert one.end == next_.start and (one.start or 0) < (one.end or 0)


def test_before_the_first_period() -> None:
    rule = Calendar(start="2026-01-01")
    assert index_at(rule, micros("2025-12-31")) == -1
    assert newest_closed(rule, micros("2025-12-31")) == newest_closed(rule, micros("2026-01-01T12:00")) == -1


def test_equal_counts_have_no_calendar() -> None:
    rule = Counts(rows=7084)
    assert period(rule, 12) == Period(12, "000012", None, None, 7084) == parse(rule, "000012") == parse(rule, "12")
    with pytest.raises(ValueError, match="have no dates"):
        index_at(rule, 0)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "2026-01-07T05:00", "2025-12-31", "-1", "99999999", "../etc", "x" * 10**6]
)
@pytest.mark.parametrize("rule", [Calendar(start="2026-01-01"), Counts(rows=5)])
def test_names_that_name_nothing(rule: Calendar | Counts, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(rule, text)
    assert 10 < len(str(caught.value)) < 400


def test_years_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="does not exist"):
        period(Calendar(start="2026-01-01", every="month"), 9_999_999)


@pytest.mark.parametrize(
    "mistake",
    [
        {"start": "soon"}, {"start": "2026-01-01T00:00+02:00"}, {"timezone": "Mars/Olympus"}, {"timezone": "../../etc/passwd"},
        {"cuts": ("25:00",)}, {"cuts": ("10",)}, {"cuts": ("10:00",), "every": "week"}, {"every": "month", "start": "2026-01-31"},
        {"timezone": "x" * 10**6},
    ],
)  # fmt: skip
def test_calendars_that_cannot_be(mistake: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        Calendar.model_validate({"start": "2026-01-01"} | mistake)
    assert len(caught.value.errors()[0]["msg"]) < 300


def test_all_mistakes_of_a_calendar_at_once() -> None:
    with pytest.raises(ValidationError, match=r"start 'x' .*timezone 'y' .*cut 'z' "):
        Calendar(start="x", timezone="y", cuts=("z",))


def test_a_finished_history_closes_no_period_after_its_end() -> None:
    rule = Calendar(every="day", start="2026-01-01", end="2026-01-05", timezone="Europe/Oslo")
    late = period(rule, 400).start
    assert late is not None and newest_closed(rule, late) == 3
    assert newest_closed(rule, period(rule, 2).start or 0) == 1, "before the end it is as without one"
    for wrong, said in (("2026-01-01", "is not after start"), ("soon", "soon")):
        with pytest.raises(ValueError, match=said):
            Calendar(every="day", start="2026-01-01", end=wrong)
