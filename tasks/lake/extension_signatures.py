"""Extension signatures: which files of DuckDB's extensions were verified before and have not changed since.

DuckDB takes a quarter of a second to verify each of them, at every start. A file that was written since has another change
time (ctime), which no program can set.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from nightloop.tasks.plan.atomic_file import write_text

RECORD = "extensions.json"


def verified_extensions(room: Path) -> set[str]:
    """Names of the extensions whose file has not changed since it was verified; none if the record cannot be read."""
    with suppress(OSError, ValueError):
        recorded = json.loads((room / RECORD).read_text(encoding="utf-8"))
        return {name for name, (file, *mark) in recorded.items() if mark and mark == _mark(file)}
    return set()


def remember_signature(room: Path, name: str, file: str) -> None:
    """Record that an extension's file was verified. If that fails, it is verified again the next time."""
    with suppress(OSError, ValueError):
        path = room / RECORD
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_text(path, json.dumps({**recorded, name: [file, *_mark(file)]}))


def _mark(file: str) -> list[int]:
    """Numbers that identify a file and its last change; empty if it does not exist."""
    with suppress(OSError):
        at = Path(file).stat()
        return [at.st_dev, at.st_ino, at.st_size, at.st_ctime_ns]
    return []
