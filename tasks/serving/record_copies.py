"""Record copies: labelled rows of the serving log in the store, so that a night on another machine collects them.

A file grows at its end only. What was added to it since the last copy is an object of its own, which never changes:

    pipelines/{pipeline}/serving/labelled/{day}/{file}-{first byte}-{byte after the last}.jsonl

`{file}` is a hash of the file's first line, which holds the id of a request: a file of another server, or one that was removed
and begun again, has another.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from pathlib import Path

from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects

MOST = 32 * 2**20  # bytes of a copy
DIGITS = 15  # of a position, so that names are in order


class RecordCopies:
    """Copies of the labelled rows that one folder of a serving log holds. One process at a time makes them."""

    def __init__(self, objects: Objects, pipeline: str, folder: Path) -> None:
        """`folder`: that of the serving log."""
        self._objects, self._folder = objects, folder / "labelled"
        self._prefix = f"pipelines/{checked_pipeline(pipeline)}/serving/labelled"
        self._lock = -1  # an open file, locked while this process makes the copies
        self._copied: dict[str, int] = {}  # bytes of each file in the store, by day and hash of its first line

    def send(self) -> None:
        """Copy all whole lines that are not in the store yet. Raises OSError; what is missing is copied the next time."""
        if not self._folder.is_dir() or not self._holds_lock():
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            while self._send_part(path):
                pass

    def close(self) -> None:
        """Let another process make the copies."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock, self._copied = -1, {}

    def _holds_lock(self) -> bool:
        """Whether this process makes the copies. If another of the same home does, this one has nothing to do."""
        if self._lock < 0:
            file = os.open(self._folder / ".copies", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._lock = file
        return True

    def _send_part(self, path: Path) -> bool:
        """Copy the next lines of a file, at most `MOST` bytes; False if there are none."""
        with path.open("rb") as file:
            first = file.readline()
            name = f"{path.stem}/{hashlib.sha256(first).hexdigest()[:16]}"
            if not first.endswith(b"\n"):
                return False
            if name not in self._copied:
                self._copied[name] = self._end_in_store(name)
            begin = self._copied[name]
            file.seek(begin)
            data = file.read(MOST)
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            return False
        end = begin + len(data)
        del self._copied[name]  # a copy that is not confirmed may be there: after an error the store is asked
        self._objects.create(f"{self._prefix}/{name}-{begin:0{DIGITS}}-{end:0{DIGITS}}.jsonl", data)
        self._copied[name] = end
        return True

    def _end_in_store(self, name: str) -> int:
        """How many bytes of a file are in the store."""
        ends = (re.search(r"-(\d+)\.jsonl$", key) for key in self._objects.keys(f"{self._prefix}/{name}-"))
        return max((int(end[1]) for end in ends if end), default=0)
