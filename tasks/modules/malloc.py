"""Memory: freed tensors stay with the process while it trains, instead of going back to the system after every step."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for them, malloc.h
KEPT, LARGEST, USUAL = 512 << 20, 32 << 20, 64 << 20  # bytes; the last is the most that glibc chooses by itself


@contextmanager
def reuse_freed_memory() -> Iterator[None]:
    """Within this context glibc keeps up to 512 MiB of freed memory. Other C libraries go on as they do.

    A step makes and frees tensors of some megabytes. Handed back each time, they return as thousands of page faults: up
    to a fifth of a step of DeepFM. Nothing that is computed depends on it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(TRIM_THRESHOLD, USUAL)
