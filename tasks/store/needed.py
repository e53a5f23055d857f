"""Needed: which versions of which periods any manifest ever read; the lake keeps those for good."""

from __future__ import annotations

import re

from tasks.store import manifests
from tasks.store.objects import Objects

NIGHT = re.compile(r"pipelines/[^/]+/nights/(\d{6})/(\d{4})\.json")


def versions_read(objects: Objects, pipeline: str) -> dict[int, set[int]]:
    """Versions by period index. Raises ValueError where a manifest is damaged: what it read cannot be known."""
    found: dict[int, set[int]] = {}
    for key in objects.keys(f"pipelines/{pipeline}/nights/"):
        if night := NIGHT.fullmatch(key):
            manifest = manifests.revision(objects, pipeline, int(night[1]), int(night[2]))
            for logs in manifest.logs:
                found.setdefault(logs.period, set()).add(logs.version)
    return found
