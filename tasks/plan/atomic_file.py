"""Atomic file: replace a text file in one step. A reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write the file in one step; make the directories above it if they are missing.

    The text is written beside it first, under a name that no other file has: two processes may write one file at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".nightloop-{os.urandom(8).hex()}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
