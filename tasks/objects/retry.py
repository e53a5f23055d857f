"""Settling: ask a busy server again, within a deadline, and find out whether a write of unknown fate took effect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from nightloop.tasks.objects.errors import StoreFailure, error_of_answer

T = TypeVar("T")
Attempt = Callable[[], tuple[T | None, StoreFailure | None]]
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before each attempt
DEADLINE = 120.0  # seconds after which no further attempt begins, and that one without many bytes may take
SLOWEST = 500_000  # bytes a second; a connection that is slower is given up


def attempt_seconds(size: int) -> float:
    """Seconds that one attempt with so many bytes may take in all."""
    return DEADLINE + size / SLOWEST


def answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """The answer of `ask`. Raises TimeoutError if it takes longer than `seconds`, however slowly bytes still come.

    A time-out of a socket is about one packet: a server that sends a byte now and then holds a reader for ever. So the
    reader runs in a thread of its own, which ends when its connection does.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(ask())
        except BaseException as error:  # it is raised where the answer is waited for
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="store request")
    thread.start()
    thread.join(max(seconds, 0.0))
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no whole answer within {seconds:.0f} s")
    return found[0]


def read_with_retry(attempt: Attempt[T], place: str) -> T | None:
    """The answer, or None where there is no such key. Raises ConnectionError after the last attempt, or the refusal."""
    said = ""
    for _ in _attempts():
        answer, trouble = attempt()
        if trouble is None or trouble.meaning == "absent":
            return answer
        if trouble.meaning == "refused":
            raise error_of_answer(trouble, place)
        said = trouble.said
    raise ConnectionError(f"{place} does not answer; is it up, is its address right? ({said})")


def write_once(attempt: Attempt[T], holds: Callable[[], bool], place: str) -> bool:
    """Whether a conditional write took effect.

    Once an attempt may have had its effect unseen (a time-out, a retry inside the client), a later 412 may be our own
    doing: then what is stored decides (`holds`: it is our bytes). Raises TimeoutError if the fate stays unknown.
    """
    unsure, said = False, ""
    for _ in _attempts():
        _, trouble = attempt()
        if trouble is None:
            return True
        if trouble.meaning == "refused":
            raise error_of_answer(trouble, place)
        unsure, said = unsure or trouble.repeated or trouble.meaning == "unsure", trouble.said
        if trouble.meaning in ("lost", "absent"):
            return unsure and holds()
    if unsure and holds():
        return True
    raise TimeoutError(f"{place} may or may not have been written; run again to settle it ({said})")


def _attempts() -> Iterator[None]:
    """One for each attempt, after its pause; none begins after the deadline."""
    began = time.monotonic()
    for number, pause in enumerate(PAUSES):
        time.sleep(pause)
        if number and time.monotonic() - began > DEADLINE:
            return
        yield
