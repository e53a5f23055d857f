"""Progress: how far a training run is, reported to a callback."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from nightloop.tasks.plan.context_value import use_value

Listener = Callable[[int, int], None]  # rows done, rows in all

_listener: ContextVar[Listener | None] = ContextVar("nightloop_progress", default=None)


def listening(callback: Listener) -> AbstractContextManager[object]:
    """Within this context `callback(done, total)` is called after every step. It must be quick."""
    return use_value(_listener, callback)


def report_progress(done: int, total: int) -> None:
    """Call the callback, if there is one, with `done` of `total` rows of this run."""
    callback = _listener.get()
    if callback is not None:
        callback(done, total)
