"""Backup files: the files of a backup, each under its SHA-256, and the list that gives their names."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.plan.errors import ConflictError, DataError

FORMAT = 2
LIST = "backup.json"  # replaced last: a directory without it holds no complete backup
LOCK = ".make"


@dataclass(frozen=True)
class Backup:
    """The files of a backup by their names, `store/...`, `lake/...` and `catalogs/...`; as `Objects`, its store, read-only."""

    kept: Directory
    files: dict[str, str]  # name -> SHA-256

    def path(self, sha: str) -> Path:
        """Where the file of this SHA-256 is."""
        return self.kept.path / "blobs" / sha

    def data(self, name: str) -> bytes:
        """The bytes of a file. Raises DataError if it was changed, FileNotFoundError if it is missing."""
        return blobs.get(self.kept, self.files[name])

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `Objects.read`."""
        name = f"store/{key}"
        return (self.data(name), self.files[name]) if name in self.files else None

    def keys(self, prefix: str) -> Iterator[str]:
        """As `Objects.keys`."""
        keys = (name.removeprefix("store/") for name in self.files if name.startswith("store/"))
        return (key for key in keys if key.startswith(prefix))

    def create(self, key: str, data: bytes) -> bool:
        """Refuse: the copy of a store does not change."""
        raise PermissionError(f"{key} is not written: the copy of a store does not change")

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """As `create`."""
        return self.create(key, data)

    def remove(self, key: str) -> None:
        """As `create`."""
        self.create(key, b"")


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """While the block runs, no other `make` writes to the directory. Raises ConflictError if it is something else's."""
    directory.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in directory.iterdir())
    if others and not (directory / LIST).exists() and LOCK not in others:
        raise ConflictError(f"{directory} is not empty ({others[0]}) and holds no backup; give another directory")
    with (directory / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"another backup is being made in {directory}; nothing was copied") from None
        yield


def read_list(directory: Path) -> dict[str, Any]:
    """The list of a backup. Raises DataError if there is none, or one of another format."""
    if not (directory / LIST).exists():
        raise DataError(f"{directory} holds no complete backup: {LIST} is missing")
    document: dict[str, Any] = json.loads((directory / LIST).read_text())
    if document.get("format") != FORMAT:
        raise DataError(f"{directory / LIST} has format {document.get('format')!r}, this release reads {FORMAT}")
    return document
