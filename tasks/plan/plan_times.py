"""Plan times: what is wrong with the dates, the time zone, the cuts and the cron expression of a plan, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from nightloop.tasks.plan.redact import redacted_head

DIRECTIVE = re.compile(r"%(-?[dHIjmMSy]|[aAbBfgnpYzZ%])")
# What a format has of a time, from the coarsest on, each with the directives that say it. What it lacks is the first: a format without the
# month reads every date as one of January.
PARTS = (
    ("year (%Y)", "Yy"), ("month (%m)", "mbBj"), ("day (%d)", "dj"), ("hour (%H)", "HI"), ("minute (%M)", "M"), ("second (%S)", "S"),
    ("fraction of a second", "fgn"),
)  # fmt: skip
# A zone that stands in a format as it is: an offset other than 0, or a name other than UTC and GMT.
ZONE = re.compile(
    r"[+-](?!00)\d\d(?::?\d\d)?\s*$|(?:UTC|GMT)\s*[+-]\d+\s*$|\b(?!GMT)[A-Z]{2,3}T\b|\b(?:Africa|America|Asia|Australia|Europe|US)/\w+"
)


def calendar_mistakes(start: str, timezone: str, cuts: Sequence[str]) -> list[str]:
    """What is wrong with the times of a calendar, in words; empty if nothing is."""
    wrong = []
    try:
        if datetime.fromisoformat(start).tzinfo is not None:
            wrong.append(f"start {redacted_head(start, 60)!r} is local time: leave its offset out and give `timezone`")
    except ValueError:
        wrong.append(
            f"start {redacted_head(start, 60)!r} is not a local date or time, such as 2026-01-01 or 2026-01-01T04:00"
        )
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        wrong.append(f"timezone {redacted_head(timezone, 60)!r} is not a time zone, such as UTC or Europe/Paris")
    bad = [cut[:20] for cut in cuts if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", cut)]
    return wrong + [f"cut {cut!r} is not a time from 00:00 to 24:00" for cut in bad]


def format_mistake(text: str) -> str:
    """What is wrong with a `time_format`, in words; empty if nothing is."""
    given = [found.lstrip("-") for found in DIRECTIVE.findall(text) if found != "%"]
    words = DIRECTIVE.sub("", text.replace("%%", ""))
    if "%" in words or not {*given} & {*"Yy"}:
        return (
            "give the year (%Y), month (%m), day (%d) and time of day (%H:%M:%S) as for strptime, such as %d.%m.%Y %H:%M; with a - only "
            "before d, H, I, j, m, M, S and y"
        )
    counts = [(name, sum(given.count(letter) for letter in letters)) for name, letters in PARTS]
    if twice := next((name for name, count in counts if count > 1), ""):
        return f"it has the {twice} twice: %m is the month and %M the minute"
    lacking = next((n for n, (_, count) in enumerate(counts) if not count), len(counts))
    if finer := next((name for name, count in counts[lacking:] if count), ""):
        return (
            f"it has the {finer} and not the {counts[lacking][0]}, which would be the first for all times: %m is the month and %M the "
            "minute"
        )
    if "I" in given and "p" not in given:
        return "%I is an hour of a clock of 12 hours, and without AM or PM (%p) afternoons would be mornings: give %H, or %I and %p"
    if zone := ZONE.search(words):
        return (
            f"{zone[0].strip()!r} is only a text there, and times would be read as UTC: write %z for an offset, %Z for the name of a "
            "zone"
        )
    return ""


def cron_mistake(text: str) -> str:
    """What is wrong with a cron expression, in words; empty if nothing is and it names a time that comes."""
    from cronsim import CronSim, CronSimError  # only for plans that say when their nights start

    if len(text.split(" ")) != 5:
        return "it has not five fields with one blank between them"
    try:
        next(CronSim(text, datetime(2024, 1, 1)))
    except (CronSimError, StopIteration) as error:
        return str(error).replace("Bad ", "wrong ", 1) or "no day is like that"
    return ""
