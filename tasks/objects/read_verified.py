"""Verified reads: read a record and verify it. One bad read does not mark a record as damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from nightloop.tasks.objects.objects import Objects, read_again

T = TypeVar("T")
PAUSES = (0.0, 0.1, 0.3)  # seconds before each further read


def read_parsed(objects: Objects, key: str, parse: Callable[[bytes], T]) -> T | None:
    """The result of `parse` on an object's bytes, or None if there is no such key.

    If `parse` raises ValueError, the bytes are read again over a new connection. If every read fails, the record is
    damaged, and that ValueError is raised.
    """
    stored = objects.read(key)
    return None if stored is None else read_parsed_bytes(objects, key, stored[0], parse)


def read_parsed_bytes(objects: Objects, key: str, data: bytes, parse: Callable[[bytes], T]) -> T:
    """As `read_parsed`, for bytes of this key that were just read."""
    for pause in PAUSES:
        try:
            return parse(data)
        except ValueError:
            time.sleep(pause)
        stored = read_again(objects, key)
        data = stored[0] if stored else data
    return parse(data)
