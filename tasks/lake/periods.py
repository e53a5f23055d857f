"""Periods: consecutive slices of logs, by the calendar of a time zone or by equal counts.

Days, weeks, months and daily cuts follow the wall clock of the zone, so a day may have 23 or 25 hours; hours are
absolute.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Calendar, Counts

SECOND = 1_000_000  # µs
HOUR = 3600 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - the better known name
NEVER = 2**63  # µs
LARGEST = 10_000_000  # a larger index is a mistake


@dataclass(frozen=True)
class Period:
    """One slice of logs: from `start` up to, not including, `end` (µs UTC), or `rows` rows from row index * rows on."""

    index: int
    name: str
    start: int | None  # None: by equal counts
    end: int | None
    rows: int | None = None  # None: by the calendar


def period(rule: Calendar | Counts, index: int) -> Period:
    """Period `index` (0 is the first). Raises DataError if the index is out of range."""
    if not 0 <= index <= LARGEST:
        raise DataError(f"period {index}: an index is between 0 and {LARGEST}")
    if isinstance(rule, Counts):
        return Period(index, f"{index:06d}", None, None, rule.rows)
    try:
        start, end = _boundary(rule, index), _boundary(rule, index + 1)
        return Period(index, _name(rule, start), start, end)
    except (OverflowError, ValueError) as error:
        raise DataError(f"period {index} of {_words(rule)} does not exist: {error}") from error


def index_at(rule: Calendar | Counts, instant: int) -> int:
    """Index of the period that holds `instant` (µs UTC); -1 before period 0. Raises DataError for equal counts."""
    if isinstance(rule, Counts):
        raise DataError("periods of equal counts have no dates: name them by index, such as 000012")
    return bisect_right(range(2**31), instant, key=lambda number: _begin_or_never(rule, number)) - 1


def _begin_or_never(rule: Calendar, number: int) -> int:
    """The instant at which period `number` begins; `NEVER` for one after the year 9999, the end of the calendar."""
    try:
        return _boundary(rule, number)
    except (OverflowError, ValueError):
        return NEVER


def newest_closed(rule: Calendar | Counts, instant: int) -> int:
    """Index of the newest period that ended at or before `instant` (µs UTC) and before the plan's end; -1: none."""
    if isinstance(rule, Calendar) and rule.end:
        instant = min(instant, _micros(datetime.fromisoformat(rule.end).replace(tzinfo=ZoneInfo(rule.timezone))))
    return max(index_at(rule, instant) - 1, -1)


def parse(rule: Calendar | Counts, text: str) -> Period:
    """The period that `text` names: a name as shown (2026-01-07, 000012) or an index (12). Raises DataError."""
    given = text.strip()
    if len(given) <= 8 and given.isascii() and given.isdigit():
        return period(rule, int(given))
    example = period(rule, 0).name
    if isinstance(rule, Counts) or len(given) > 32:
        raise DataError(f"no period {given[:80]!r}: give an index such as 12, or a name such as {example}")
    try:
        at = datetime.fromisoformat(f"{given}-01" if rule.every == "month" and given.count("-") == 1 else given)
    except ValueError as error:
        raise DataError(f"no period {given!r}: give an index such as 12, or a name such as {example}") from error
    try:
        index = index_at(rule, _micros(at.replace(tzinfo=at.tzinfo or ZoneInfo(rule.timezone))))
    except OverflowError as error:
        raise DataError(f"no period {given!r}: it is at the end of the calendar, the year 9999") from error
    if index < 0 or period(rule, index).name != given:
        near = f"; the one that holds that time is {period(rule, index).name}" if index >= 0 else ""
        raise DataError(f"no period of {_words(rule)} is called {given!r}{near}")
    return period(rule, index)


def _words(rule: Calendar) -> str:
    length = f"{rule.length} {rule.every}{'s' if rule.length > 1 else ''}"
    return f"{length}{' cut at ' + ', '.join(rule.cuts) if rule.cuts else ''} from {rule.start} in {rule.timezone}"


def _micros(at: datetime) -> int:
    return (at.astimezone(EPOCH.tzinfo) - EPOCH) // timedelta(microseconds=1)


def _boundary(rule: Calendar, number: int) -> int:
    """The instant (µs UTC) at which period `number` begins."""
    zone, first = ZoneInfo(rule.timezone), datetime.fromisoformat(rule.start)
    if rule.every == "hour":  # absolute: an hour has 60 minutes also on the day of a clock change
        return _micros(first.replace(tzinfo=zone)) + number * rule.length * HOUR
    if rule.cuts:
        return _cut_boundary(rule, first.date(), number)
    if rule.every == "month":
        months = first.month - 1 + number * rule.length
        local = datetime.combine(date(first.year + months // 12, months % 12 + 1, first.day), first.time())
    else:
        local = first + timedelta(days=number * rule.length * (7 if rule.every == "week" else 1))
    return _micros(local.replace(tzinfo=zone))


def _cut_boundary(rule: Calendar, first: date, number: int) -> int:
    """Boundary `number` of days that are cut at local times; 24:00 is the next day's 00:00."""
    minutes = sorted({_minute(cut) % 1440 for cut in rule.cuts})
    at = datetime.fromisoformat(rule.start)
    number += bisect_right(minutes, at.hour * 60 + at.minute - 1)  # the first cut at or after the plan's start
    day = datetime.combine(first + timedelta(days=number // len(minutes)), datetime.min.time())
    local = day + timedelta(minutes=minutes[number % len(minutes)])
    return _micros(local.replace(tzinfo=ZoneInfo(rule.timezone)))


def _minute(cut: str) -> int:
    hour, minute = cut.split(":")
    return int(hour) * 60 + int(minute)


def _name(rule: Calendar, start: int) -> str:
    """The local wall-clock time at which a period begins, in its shortest unique form."""
    local = (EPOCH + timedelta(microseconds=start)).astimezone(ZoneInfo(rule.timezone))
    if rule.every == "hour":  # after a clock change in autumn, 02:00 occurs twice
        repeated = local.utcoffset() != local.replace(fold=0).utcoffset()
        return local.strftime("%Y-%m-%dT%H:%M") + (local.strftime("%z") if repeated else "")
    whole = datetime.fromisoformat(rule.start).time() == datetime.min.time() and not rule.cuts
    if not whole:
        return local.strftime("%Y-%m-%dT%H:%M")
    return local.strftime("%Y-%m" if rule.every == "month" and local.day == 1 else "%Y-%m-%d")
