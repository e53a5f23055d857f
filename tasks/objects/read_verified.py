"""Trusted: read a record and check it; one bad read never makes a record damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from nightloop.tasks.objects.objects import Objects, read_again

T = TypeVar("T")
PAUSES = (0.0, 0.1, 0.3)  # seconds before each further read


def read_parsed(objects: Objects, key: str, parse: Callable[[bytes], T]) -> T | None:
    """What `parse` makes of an object's bytes, or None where there is no such key.

    Bytes that `parse` refuses with ValueError are read again over another connection. Raises that ValueError where they
    are refused each time: then it is the record that is damaged, not a read of it.
    """
    found = objects.read(key)
    return None if found is None else read_parsed_bytes(objects, key, found[0], parse)


def read_parsed_bytes(objects: Objects, key: str, data: bytes, parse: Callable[[bytes], T]) -> T:
    """As `trusted`, for bytes of this key that were read a moment ago."""
    for pause in PAUSES:
        try:
            return parse(data)
        except ValueError:
            time.sleep(pause)
        found = read_again(objects, key)
        data = found[0] if found else data
    return parse(data)
