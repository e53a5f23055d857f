"""Cron: cron expressions that start the nightly run of a plan, in the time zone of its periods."""

from __future__ import annotations

from datetime import datetime, timedelta

from nightloop.tasks.plan.plan import Counts, Plan

AFTER = timedelta(hours=2)  # from the close of a period to its night, so that late rows arrive
AFTER_HOURS = timedelta(minutes=15)  # the same for periods of hours
NIGHTLY = ("0 2 * * *",)


def crons(plan: Plan) -> tuple[str, ...]:
    """The plan's own `cron`; else one that starts a run after each period has closed.

    If a period has several hours, days, weeks or months, the run still starts after each one of them: running a finished
    period again changes nothing. There are several expressions if days are cut at several times.
    """
    if plan.cron:
        return (plan.cron,)
    calendar = plan.periods
    if isinstance(calendar, Counts):
        return NIGHTLY
    start = datetime.fromisoformat(calendar.start)
    if calendar.cuts:
        return tuple(dict.fromkeys(_daily(*map(int, cut.split(":"))) for cut in calendar.cuts))
    if calendar.every == "hour":
        return (f"{(start + AFTER_HOURS).minute} * * * *",)
    if calendar.every == "day":
        return (_daily(start.hour, start.minute),)
    begins = start + AFTER
    if calendar.every == "week":
        return (f"{begins.minute} {begins.hour} * * {begins.isoweekday() % 7}",)
    if begins.day != start.day:  # not every month has the day after the 28th
        begins = start.replace(hour=23, minute=59)
    return (f"{begins.minute} {begins.hour} {begins.day} * *",)


def timezone(plan: Plan) -> str:
    """The time zone of the cron expressions."""
    return "UTC" if isinstance(plan.periods, Counts) else plan.periods.timezone


def _daily(hour: int, minute: int) -> str:
    return f"{minute} {(hour + AFTER.seconds // 3600) % 24} * * *"
