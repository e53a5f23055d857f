"""Progress: how far a training run is, reported to a callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]  # rows done, rows in all

_listener: ContextVar[Listener | None] = ContextVar("nightloop_progress", default=None)


@contextmanager
def listening(callback: Listener) -> Iterator[None]:
    """Within this context `callback(done, total)` is called after every step. It must be quick."""
    token = _listener.set(callback)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(done: int, total: int) -> None:
    """Call the callback, if there is one, with `done` of `total` rows of this run."""
    callback = _listener.get()
    if callback is not None:
        callback(done, total)
