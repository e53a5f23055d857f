"""Generated file: a plan that a command wrote. A later command may replace it, unless a person has edited it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nightloop.tasks.plan.atomic_file import write_text


def write_generated(path: Path, head: str, document: Mapping[str, Any], notes: str = "") -> None:
    """Write the document as YAML under a line that begins with `head` and carries a checksum of all that follows.

    `notes`: comment lines that stand above the document.
    """
    plain = json.loads(json.dumps(document))  # without the anchors that YAML makes of parts which occur twice
    text = notes + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_text(path, f"{head} {_digest(text)}\n{text}")


def is_generated(path: Path, head: str) -> bool:
    """Whether a command wrote this file and nobody has edited it since."""
    first, _, text = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return first.startswith(head) and first.endswith(_digest(text))


def _digest(text: str) -> str:
    return f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
