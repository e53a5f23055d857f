"""Scheduled time: the time by which a run names its period, and the clock by which a champion moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from nightloop.tasks.orchestration import run

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now in UTC. Promotions are logged with the time at which they happen."""
    return datetime.now(UTC)


def scheduled_time() -> datetime:
    """The time that the schedule gave this run, so that a late or repeated run names the same period. By hand: now."""
    return run().scheduled or utc_now()
