"""Artifacts: texts, tables and progress bars in Prefect's UI, if Prefect runs the flow; bars in the terminal as well.

The store keeps the record of everything that is shown. If something cannot be shown, that is a warning.
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
    """Show a text in Prefect's UI, replacing the one before it under this key; nothing without Prefect."""
    if run().prefect:
        from prefect.artifacts import create_markdown_artifact

        _try_to_show(lambda: create_markdown_artifact(markdown, key=_key(key), description=description))


def show_table(key: str, description: str, rows: list[dict[str, Any]]) -> None:
    """Show a table in Prefect's UI; nothing without Prefect."""
    if run().prefect:
        from prefect.artifacts import create_table_artifact

        _try_to_show(lambda: create_table_artifact(rows, key=_key(key), description=description))


class Bar:
    """A progress bar: a line in an interactive terminal, and an artifact in Prefect's UI."""

    def __init__(self, key: str, title: str, after: float = 0.0) -> None:
        """`after`: seconds before it is shown in the UI."""
        self._key, self._title, self._after = _key(key), title, after
        self._began, self._last = time.monotonic(), -math.inf
        self._made: UUID | None = None
        self._lines = LINES.get()
        self._line = self._lines.add_task(title, total=None) if self._lines else None

    def at(self, done: int, total: int) -> None:
        """Set the progress. The UI is updated once a second at most, and at the end."""
        if self._lines and self._line is not None:
            self._lines.update(self._line, completed=done, total=total)
        now, percent = time.monotonic(), 100.0 * done / max(total, 1)
        if now - self._began < self._after or (now - self._last < 1.0 and done < total) or not run().prefect:
            return
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        self._last = now
        if (artifact := self._made) is not None:
            _try_to_show(lambda: update_progress_artifact(artifact, percent))
            return
        answer = _try_to_show(lambda: create_progress_artifact(percent, key=self._key, description=self._title))
        self._made = answer if isinstance(answer, UUID) else None

    def end(self) -> None:
        """Remove the line in the terminal."""
        if self._lines and self._line is not None:
            self._lines.remove_task(self._line)
            self._line = None


def _key(text: str) -> str:
    """A key as Prefect wants it."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")


def _try_to_show(call: Callable[[], object]) -> object:
    """Call Prefect and return its answer; if that fails, log a warning and return None.

    After a failure Prefect is not called for a minute: each attempt waits for the API, and a run must not wait for display.
    """
    if time.monotonic() < _LEFT_ALONE["until"]:
        return None
    try:
        return call()
    except Exception as error:
        _LEFT_ALONE["until"] = time.monotonic() + 60.0
        log.warning("an artifact could not be shown in Prefect; the store has the record: %s", error)
        return None
