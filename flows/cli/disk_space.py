"""Disk space: what is free on the disk of the home."""

from __future__ import annotations

import shutil
from pathlib import Path

from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings


def free_space() -> tuple[int, Path]:
    """The bytes that are free on the disk of the home, and the nearest of its directories that exists."""
    home = Settings().home.resolve()
    existing = next(directory for directory in (home, *home.parents) if directory.exists())
    return shutil.disk_usage(existing).free, existing


def require_space(least: int, what: str) -> str:
    """What is free, in words. Raises StoreError if it is less than `least` bytes; `what` says what needs them."""
    free, where = free_space()
    if free < least:
        raise StoreError(
            f"{free / 1e6:.0f} MB are free at {where}; {what}, at least {least / 1e6:.0f} MB. Free space there"
        )
    return f"{free / 1e9:.0f} GB free at {where}"
