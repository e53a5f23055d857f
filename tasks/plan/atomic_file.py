"""Atomic file: replace a file in one step, so that a reader sees no part of it; and mark what a command wrote."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, a text in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write the file in one step; make the directories above it if they are missing.

    The data is written beside it first, under a name that no other file has: two processes may write one file at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".nightloop-{os.urandom(8).hex()}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_generated(path: Path, head: str, document: Mapping[str, Any], notes: str = "") -> None:
    """Write a plan as YAML under a line that begins with `head` and carries a checksum of all that follows.

    `notes`: comment lines that stand above the document.
    """
    plain = json.loads(json.dumps(document))  # without the anchors that YAML makes of parts which occur twice
    text = notes + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_text(path, f"{head} {_digest(text)}\n{text}")


def is_generated(path: Path, head: str) -> bool:
    """Whether a command wrote this file and nobody has edited it since, so that a later command may replace it."""
    first, _, text = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return first.startswith(head) and first.endswith(_digest(text))


def _digest(text: str) -> str:
    return f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
