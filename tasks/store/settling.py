"""Settling: ask a busy server again, and find out whether a write of unknown fate took effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tasks.store.answers import Trouble, refusal

T = TypeVar("T")
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before each attempt


def asked(attempt: Callable[[], tuple[T | None, Trouble | None]], place: str) -> T | None:
    """The answer, or None where there is no such key. Raises ConnectionError after the last attempt, or the refusal."""
    said = ""
    for pause in PAUSES:
        time.sleep(pause)
        answer, trouble = attempt()
        if trouble is None or trouble.meaning == "absent":
            return answer
        if trouble.meaning == "refused":
            raise refusal(trouble, place)
        said = trouble.said
    raise ConnectionError(f"{place} does not answer; is it up, is its address right? ({said})")


def wrote(attempt: Callable[[], tuple[T | None, Trouble | None]], holds: Callable[[], bool], place: str) -> bool:
    """Whether a conditional write took effect.

    Once an attempt may have had its effect unseen (a time-out, a retry inside the client), a later 412 may be our own
    doing: then what is stored decides (`holds`: it is our bytes). Raises TimeoutError where the fate stays unknown.
    """
    unsure, said = False, ""
    for pause in PAUSES:
        time.sleep(pause)
        _, trouble = attempt()
        if trouble is None:
            return True
        if trouble.meaning == "refused":
            raise refusal(trouble, place)
        unsure, said = unsure or trouble.repeated or trouble.meaning == "unsure", trouble.said
        if trouble.meaning in ("lost", "absent"):
            return unsure and holds()
    if unsure and holds():
        return True
    raise TimeoutError(f"{place} may or may not have been written; run again to settle it ({said})")
