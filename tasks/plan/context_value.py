"""Context value: a context variable has a value for the length of a block, and then the one of before again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def use_value(variable: ContextVar[Any], value: T) -> Iterator[T]:
    """Within this block, and what it calls on this thread, the variable has this value."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)
