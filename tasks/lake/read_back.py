"""Read back: what was written to the lake is read before it is recorded, because what answers a write need not keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nightloop.tasks.plan.errors import StoreError

Answer = TypeVar("Answer")


def read_back(read: Callable[[], Answer], what: str, place: str) -> Answer:
    """The answer of `read`, which reads what a transaction wrote to `place`. Raises StoreError if that is not there: then
    the transaction is rolled back, and the catalog names no file that was lost."""
    try:
        return read()
    except StoreError as error:
        raise lost_write(what, place, error.__cause__) from error.__cause__


def lost_write(what: str, place: str, detail: object) -> StoreError:
    """The error for what was written and is not there."""
    return StoreError(
        f"{what} that were written to {place} cannot be read back, so none of them was recorded. Check that the server of the "
        f"lake's data keeps what it is given, and run again ({detail})"
    )
