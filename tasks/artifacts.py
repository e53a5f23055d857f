"""Showing: texts, tables and bars in Prefect's UI, where Prefect runs the flow; bars in the terminal as well.

What is shown is drawn from the store, which keeps the record. What cannot be shown is a warning.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from nightloop.tasks.orchestration import run
from nightloop.tasks.terminal import LINES

log = logging.getLogger(__name__)
_LEFT_ALONE = {"until": -math.inf}  # of this process, by the monotonic clock


def show_markdown(key: str, description: str, markdown: str) -> None:
    """Show a text in Prefect's UI, in the place of the one before it under this key; nothing without Prefect."""
    if run().prefect:
        from prefect.artifacts import create_markdown_artifact

        _try_to_show(lambda: create_markdown_artifact(markdown, key=_key(key), description=description))


def show_table(key: str, description: str, rows: list[dict[str, Any]]) -> None:
    """Show a table in Prefect's UI; nothing without Prefect."""
    if run().prefect:
        from prefect.artifacts import create_table_artifact

        _try_to_show(lambda: create_table_artifact(rows, key=_key(key), description=description))


class Bar:
    """How far something is: a line in the terminal where somebody sits at one, and a bar in Prefect's UI."""

    def __init__(self, key: str, title: str, after: float = 0.0) -> None:
        """`after`: seconds before it is worth a place in the UI."""
        self._key, self._title, self._after = _key(key), title, after
        self._began, self._last = time.monotonic(), -math.inf
        self._made: UUID | None = None
        self._lines = LINES.get()
        self._line = self._lines.add_task(title, total=None) if self._lines else None

    def at(self, done: int, total: int) -> None:
        """It is so far. The UI is told once a second at most, and at the end."""
        if self._lines and self._line is not None:
            self._lines.update(self._line, completed=done, total=total)
        now, percent = time.monotonic(), 100.0 * done / max(total, 1)
        if now - self._began < self._after or (now - self._last < 1.0 and done < total) or not run().prefect:
            return
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        self._last = now
        if (made := self._made) is not None:
            _try_to_show(lambda: update_progress_artifact(made, percent))
            return
        found = _try_to_show(lambda: create_progress_artifact(percent, key=self._key, description=self._title))
        self._made = found if isinstance(found, UUID) else None

    def end(self) -> None:
        """It is over: the line in the terminal goes."""
        if self._lines and self._line is not None:
            self._lines.remove_task(self._line)
            self._line = None


def _key(text: str) -> str:
    """A key as Prefect wants it."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")


def _try_to_show(tell: Callable[[], object]) -> object:
    """What Prefect answers; None, and a warning, where it cannot be told.

    After that it is left alone for a minute: each try waits for the API, and a run must not wait for what is only shown.
    """
    if time.monotonic() < _LEFT_ALONE["until"]:
        return None
    try:
        return tell()
    except Exception as error:
        _LEFT_ALONE["until"] = time.monotonic() + 60.0
        log.warning("Prefect could not be shown something; the store keeps its record: %s", error)
        return None
