"""Progress: how far a training run is, told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]  # rows done, rows in all

_listener: ContextVar[Listener | None] = ContextVar("nightloop_progress", default=None)


@contextmanager
def listening(callback: Listener) -> Iterator[None]:
    """Within this context `callback(done, total)` hears of every step; it must be quick, and sees no tensor."""
    token = _listener.set(callback)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(done: int, total: int) -> None:
    """Tell the listener, if there is one: `done` of `total` rows of this run."""
    callback = _listener.get()
    if callback is not None:
        callback(done, total)
