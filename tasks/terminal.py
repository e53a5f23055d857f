"""Terminal: progress lines on stderr, if it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

LINES: ContextVar[Progress | None] = ContextVar("lines", default=None)


@contextmanager
def terminal() -> Iterator[None]:
    """Show progress lines on stderr, if it is a terminal; they are removed when the flow has ended."""
    if LINES.get() is not None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as lines:
        before = LINES.set(lines)
        try:
            yield
        finally:
            LINES.reset(before)


@contextmanager
def progress_line(title: str) -> Iterator[None]:
    """Show a line in the terminal while the block runs."""
    if (lines := LINES.get()) is None:
        yield
        return
    line = lines.add_task(title, total=None)
    try:
        yield
    finally:
        lines.remove_task(line)
