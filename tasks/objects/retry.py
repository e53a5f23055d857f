"""Retry: repeat requests within a deadline, and find out whether a write without an answer took effect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from nightloop.tasks.objects.errors import StoreFailure, error_of_answer

T = TypeVar("T")
Attempt = Callable[[], tuple[T | None, StoreFailure | None]]
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before each attempt
DEADLINE = 120.0  # seconds after which no further attempt starts, and that an attempt with few bytes may take
SLOWEST = 500_000  # bytes a second; a slower connection is closed


def attempt_seconds(size: int) -> float:
    """Seconds that one attempt with `size` bytes may take."""
    return DEADLINE + size / SLOWEST


def answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """The answer of `ask`. Raises TimeoutError if it takes longer than `seconds`, even if some bytes still arrive.

    The time-out of a socket applies to one packet, so a very slow server could block a reader for ever. So the reader runs
    in a thread of its own, which ends when its connection does.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # it is raised in the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="store request")
    thread.start()
    thread.join(max(seconds, 0.0))
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no complete answer within {seconds:.0f} s")
    return answers[0]


def read_with_retry(attempt: Attempt[T], place: str) -> T | None:
    """The answer, or None if there is no such key. Raises ConnectionError after the last attempt, or the server's refusal."""
    message = ""
    for _ in _attempts():
        answer, failure = attempt()
        if failure is None or failure.meaning == "absent":
            return answer
        if failure.meaning == "refused":
            raise error_of_answer(failure, place)
        message = failure.said
    raise ConnectionError(
        f"{place} does not answer; check that the server runs and that its address is right ({message})"
    )


def write_once(attempt: Attempt[T], holds: Callable[[], bool], place: str) -> bool:
    """Whether a conditional write took effect.

    If an attempt may have succeeded without an answer (a time-out, a retry inside the client), a later 412 may come from
    our own write. Then the stored bytes decide (`holds`: they are ours). Raises TimeoutError if it stays unknown.
    """
    unsure, message = False, ""
    for _ in _attempts():
        _, failure = attempt()
        if failure is None:
            return True
        if failure.meaning == "refused":
            raise error_of_answer(failure, place)
        unsure, message = unsure or failure.repeated or failure.meaning == "unsure", failure.said
        if failure.meaning in ("lost", "absent"):
            break
    unknown = TimeoutError(f"{place} may or may not have been written; run again to complete it ({message})")
    try:
        if unsure and holds():
            return True
    except ConnectionError as error:  # the store went away before it was read back
        raise unknown from error
    if failure is not None and failure.meaning in ("lost", "absent"):
        return False
    raise unknown


def _attempts() -> Iterator[None]:
    """Yield once for each attempt, after its pause; none starts after the deadline."""
    began = time.monotonic()
    for number, pause in enumerate(PAUSES):
        time.sleep(pause)
        if number and time.monotonic() - began > DEADLINE:
            return
        yield
