"""Bunched times, category writings and export limits: what a program did to many rows at once is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from nightloop.tasks.plan.plan import Columns, Part, Plan
from nightloop.tasks.validation.bunched_times import bunched_time_checks
from nightloop.tasks.validation.category_writings import category_writing_checks
from nightloop.tasks.validation.clean_copy import clean_rows
from nightloop.tasks.validation.export_limits import export_limit_checks
from nightloop.tasks.validation.period_checks import Check
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import DAY, TODAY, plan, rows

SECOND = 1_000_000
EVENLY = [DAY + n * 211 * SECOND for n in range(400)]


def _bunched(times: Sequence[int], **columns: object) -> list[Check]:
    table = rows(len(times), 0, time=pa.array(times, pa.timestamp("us", tz="UTC")), **columns)
    lake = SmallLake(table)
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*bunched_time_checks(lake)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "clock"), [(3 * 3600 + 7, "03:00:07"), (0, "00:00:00")])
def test_rows_at_the_time_of_an_import_or_without_a_time_of_day_are_shown(at: int, clock: str) -> None:
    """mixpanel-ruby 52, growthbook 4322: events of the past got the time at which they were imported."""
    (check,) = _bunched([DAY + at * SECOND if n % 3 else time for n, time in enumerate(EVENLY)])
    assert check.name == "share of rows at one time of day" and check.example.startswith(f"{clock} UTC. ")
    assert not _bunched([DAY + at * SECOND if n % 15 == 0 else time for n, time in enumerate(EVENLY)])


@pytest.mark.parametrize("step", [86_400, 3600, 60])
def test_times_by_the_day_the_hour_or_the_minute_are_meant_so(step: int) -> None:
    assert not _bunched([time // (step * SECOND) * step * SECOND for time in EVENLY])


def test_minutes_that_are_the_month_are_shown() -> None:
    """lettabot 626, open-webui 633, node-dateformat 72: HH:MM:ss wrote the month where the minute should be."""
    january = [time // (3600 * SECOND) * 3600 * SECOND + (60 + time // SECOND % 60) * SECOND for time in EVENLY]
    (check,) = _bunched(january)
    assert check.name == "rows whose minute is their month" and check.example.startswith("1970-01-02 00:01:00. ")
    assert not _bunched([time + 60 * SECOND for time in january])
    assert not _bunched([time // (60 * SECOND) * 60 * SECOND for time in january])  # written a minute past each hour


def test_fractions_without_their_zeros_are_shown() -> None:
    """glossy 46, passivedns 23, tslog 48: 68 ms were written as .68, which is 680 ms."""
    parts = [n * 37 % 1000 for n in range(400)]
    unpadded = [time // SECOND * SECOND + int(f"{part}000000"[:6]) for time, part in zip(EVENLY, parts, strict=True)]
    (check,) = _bunched(unpadded)
    assert check.name == "rows with fractions of a second" and check.observed > 390
    assert not _bunched([time // SECOND * SECOND + part * 1000 for time, part in zip(EVENLY, parts, strict=True)])
    assert not _bunched(
        [time // SECOND * SECOND + part % 10 * 100_000 for time, part in zip(EVENLY, parts, strict=True)]
    )


def test_events_that_were_written_twice_are_shown() -> None:
    """oppia 23892, va-mobile-app 6528, ApplicationInsights-JS 436: each event came twice, some milliseconds later."""
    ids = {name: pa.array([f"{name}{n // 2 % 67}" for n in range(400)]) for name in ("user", "item")}
    twice = [EVENLY[n // 2 * 2] + n % 2 * 80_000 for n in range(400)]

    def told(times: Sequence[int]) -> list[Check]:
        return [check for check in _bunched(times, **ids) if "less than a second" in check.name]

    (check,) = told(twice)
    assert check.observed == 0.5 and check.example.startswith("at 1970-01-02 00:00:00 and 1970-01-02 00:00:00.08")
    assert not told(EVENLY) and not told([*twice[:40], *EVENLY[40:]])


def _values(columns: Columns, category: pa.Array) -> list[Check]:
    lake = SmallLake(rows(category=category))
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*category_writing_checks(lake, columns)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (("mobile", "Mobile", "desktop"), "'mobile' and 'Mobile'"),  # ua-parser-js 42, plausible 393
        (("07", "7", "8"), "'07' and '7'"),
        (("New York", "new_york", "Oslo"), "'New York' and 'new_york'"),
        (("00", "0", "-0"), "'00' and '0'"),
        (("1", "-1", "11", "1.0.1", "1.01"), ""),
        (("a", "b", "c|d", "C|D"), "'C|D' and 'c|d'"),
    ],
)
def test_a_category_in_two_writings_is_shown(values: tuple[str, ...], shown: str) -> None:
    checks = _values(plan().columns, category=pa.array([values[n % len(values)] for n in range(400)]))
    assert [check.example.partition(".")[0] for check in checks] == ([shown] if shown else [])
    seldom = [values[n % len(values)] if n < 5 else "other" for n in range(400)]
    assert not _values(plan().columns, category=pa.array(seldom))


def test_several_values_with_two_signs_between_them_are_shown() -> None:
    columns = plan().columns.model_copy(update={"multi_value": {"category": 3}})
    (check,) = _values(columns, category=pa.array([("drama|comedy", "drama, comedy")[n % 2] for n in range(400)]))
    assert "'drama, comedy' and 'drama'" in check.words and "| between several" in check.words
    assert not _values(columns, category=pa.array([("drama|comedy", "sci-fi, fantasy")[n % 2] for n in range(400)]))


@pytest.mark.parametrize(
    ("count", "said"), [(10_000, "some programs export"), (1_048_575, "a sheet of a spreadsheet holds"), (10_001, "")]
)
def test_as_many_rows_as_a_program_exports_are_shown(count: int, said: str) -> None:
    """metabase 3810, kpi 2370, OmniDB 769: exports end after so many rows, and nothing says so."""
    the: Plan = plan()
    found = [check.words for check in export_limit_checks(the, TODAY, count)]
    assert len(found) == bool(said) and all(said in words and "were all rows exported?" in words for words in found)
    assert not [*export_limit_checks(the, replace(TODAY, start=None, end=None), count)]  # periods of equal counts
    assert not [*export_limit_checks(the.model_copy(update={"source": Part(use="simulated")}), TODAY, count)]


SPREAD = [DAY + (n * 211 + n * n * n % 59) * SECOND for n in range(200)]


@pytest.mark.parametrize(("after", "told"), [(1, True), (10, True), (7200, True), (0, False)])
def test_events_that_come_twice_the_same_time_apart_are_shown(after: int, told: bool) -> None:
    """maloja 73, potsie 10, Chirpity 130: a start and an end, an event every ten seconds, and two time zones."""
    users = [f"u{n}" for n in range(len(SPREAD))]
    twice = SPREAD + [time + after * SECOND for time in SPREAD[:60]] if after else SPREAD
    both = users + users[:60] if after else users
    found = _bunched(twice, user=pa.array(both), item=pa.array(["1"] * len(both)))
    assert [check.name for check in found] == (
        [f"share of rows just {after:,} seconds after another one of their user and item"] if told else []
    )


def test_events_of_two_clocks_are_shown() -> None:
    """listenbrainz-server 201: listens of two importers are 4 to 54 seconds apart."""
    users = [f"u{n}" for n in range(len(SPREAD))]
    for share, told in ((1.0, True), (0.3, False)):
        part = int(share * len(SPREAD))
        times = SPREAD + [time + (4 + n % 50) * SECOND for n, time in enumerate(SPREAD[:part])]
        found = _bunched(times, user=pa.array(users + users[:part]), item=pa.array(["1"] * len(times)))
        assert [check.name for check in found] == (
            ["share of rows less than a minute after another one of their user and item"] if told else []
        )
