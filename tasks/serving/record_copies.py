"""Record copies: labelled rows of the serving log in the store, so that a night on another machine collects them.

A file grows at its end only. What was added to it since the last copy is an object of its own, which never changes:

    pipelines/{pipeline}/serving/labelled/{day}/{file}-{first byte}-{byte after the last}-{hash}.jsonl

`{file}` is a hash of the file's first line, which holds the id of a request: a file of another server, or one that was removed
and begun again, has another. `{hash}` is that of the copy itself: where a file was shortened or changed since, as by a power
cut, the copies that still match it say where to go on. Then some rows may be in two copies; none is in no copy.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import time
from pathlib import Path
from typing import BinaryIO

from nightloop.tasks.objects.checksum import short_hash
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
        self._copied: dict[str, tuple[int, int]] = {}  # inode and bytes in the store, by day and hash of the first line

    def send(self, seconds: float = math.inf) -> None:
        """Copy all whole lines that are not in the store yet; after so many seconds the rest waits for the next call.

        Raises OSError; what is missing is copied the next time. Files whose names begin with no day are not the log's.
        """
        if not self._folder.is_dir() or not self._holds_lock():
            return
        end = time.monotonic() + seconds
        for path in sorted(self._folder.glob("*.jsonl")):
            if re.match(r"\d{4}-\d\d-\d\d", path.name, re.ASCII) and path.is_file():
                while self._send_part(path):
                    if time.monotonic() > end:
                        return

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
            name = f"{path.name[:10]}/{short_hash(first)}"  # also of a file that was renamed
            if not first.endswith(b"\n"):
                return False
            begin = self._find_begin(name, file)
            file.seek(begin)
            data = file.read(MOST)
            inode = os.fstat(file.fileno()).st_ino
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            return False
        end = begin + len(data)
        self._copied.pop(name, None)  # a copy that is not confirmed may be there: after an error the store is asked
        copy = f"{name}-{begin:0{DIGITS}}-{end:0{DIGITS}}-{short_hash(data)}"
        self._objects.create(f"{self._prefix}/{copy}.jsonl", data)
        self._copied[name] = inode, end
        return True

    def _find_begin(self, name: str, file: BinaryIO) -> int:
        """How many bytes of a file are in the store. The store is asked if this is another file than the last time."""
        state = os.fstat(file.fileno())
        inode, end = self._copied.get(name, (-1, 0))
        if inode != state.st_ino or end > state.st_size:
            end = self._find_end_in_store(name, file)
            self._copied[name] = state.st_ino, end
        return end

    def _find_end_in_store(self, name: str, file: BinaryIO) -> int:
        """The end of the newest copy in the store that is still a part of the file."""
        keys = self._objects.keys(f"{self._prefix}/{name}-")
        copies = [re.search(r"-(\d+)-(\d+)-([0-9a-f]+)\.jsonl$", key) for key in keys]
        for begin, end, content in sorted(((int(c[1]), int(c[2]), c[3]) for c in copies if c), reverse=True):
            file.seek(begin)
            if short_hash(file.read(end - begin)) == content:
                return end
        return 0
