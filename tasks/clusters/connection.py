"""Connection: what a run needs to know of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Connection(NamedTuple):
    """A cluster that is there already."""

    workers: int
    send: Callable[[Any], Any]  # what a worker returns for some work, or raises
    close: Callable[[], object]
