"""Extensions: which files of DuckDB's extensions had a sound signature when they were last looked at, and are still the same.

DuckDB takes a quarter of a second to check each of them, at every start. A file that was written since has another time of
change, which nobody can set.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from nightloop.tasks.plan.atomic_file import write_text

RECORD = "extensions.json"


def verified_extensions(room: Path) -> set[str]:
    """Names of the extensions whose file is the one that was checked; none where the record cannot be read."""
    with suppress(OSError, ValueError):
        found = json.loads((room / RECORD).read_text(encoding="utf-8"))
        return {name for name, (file, *mark) in found.items() if mark and mark == _mark(file)}
    return set()


def remember_signature(room: Path, name: str, file: str) -> None:
    """Note that an extension's file was checked. Where it cannot be noted, it is checked again the next time."""
    with suppress(OSError, ValueError):
        place = room / RECORD
        found = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        write_text(place, json.dumps({**found, name: [file, *_mark(file)]}))


def _mark(file: str) -> list[int]:
    """What tells a file from any other, and from itself after a change; empty where it is not there."""
    with suppress(OSError):
        at = Path(file).stat()
        return [at.st_dev, at.st_ino, at.st_size, at.st_ctime_ns]
    return []
