"""Plan times: what is wrong with the dates, the time zone, the cuts and the cron expression of a plan, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from nightloop.tasks.plan.redact import redacted_head


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
