"""Limit: a night that takes longer than its plan allows is stopped, so that its pipeline is free again."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nightloop.tasks.plan.plan import Plan

log = logging.getLogger(__name__)
AGAIN = 5.0  # seconds between two attempts to stop the block
PATIENCE = 60.0  # seconds that the night has to end; then its process is ended
EXIT_CODE = 124  # as timeout(1) has it


@contextmanager
def limit_night(plan: Plan, name: str, nights: int = 1) -> Iterator[None]:
    """Raise TimeoutError in the block once it has taken the plan's `night_limit`, for each of so many nights; if that does not
    end it, end the process.

    A signal raises the error, whatever the block is doing. Code that waits in a library and does not handle the signal has
    `PATIENCE` seconds more. Then the process ends, the lease of the pipeline expires soon after, and the night can be run
    again. Outside the main thread, and on systems without SIGALRM, no limit applies.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    seconds, each = plan.night_limit * 3600 * nights, f" for each of {nights} nights" if nights > 1 else ""
    message = (
        f"{name} of {plan.pipeline} took longer than the plan's night_limit of {plan.night_limit:g} h{each} and was stopped. What "
        "was finished is kept. Find out what it waited for, or raise night_limit; then run the night again to resume"
    )
    ended, due = threading.Event(), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if due.is_set() and not ended.is_set():
            raise KeyboardInterrupt(message)  # code that the block calls does not treat this as an error of its data
        if callable(before):  # the handler that was set before
            before(number, frame)

    before = signal.signal(signal.SIGALRM, stop)
    watching = threading.Thread(
        target=_watch, args=(seconds, due, ended, message), daemon=True, name=f"limit of {name}"
    )
    watching.start()
    try:
        yield
    except BaseException as error:
        if due.is_set():  # also if a library turned the signal into an error of its own
            raise TimeoutError(message) from error
        raise
    finally:
        try:
            ended.set()
        finally:  # the last signal may arrive just here
            ended.set()
            watching.join()
            signal.signal(signal.SIGALRM, before)


def _watch(seconds: float, due: threading.Event, ended: threading.Event, message: str) -> None:
    """Signal the main thread when the time is over, until the block has ended; then end the process."""
    if ended.wait(seconds):
        return
    due.set()
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        if ended.wait(min(AGAIN, PATIENCE)):
            return
    sys.stderr.write(f"nightloop: {message}. It did not end within {PATIENCE:.0f} s: its process ends now\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)
