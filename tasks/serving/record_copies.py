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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightloop.tasks.objects.checksum import short_hash
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError, StoreError

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
        self._newest = ""  # the copy that was made last

    def send(self, seconds: float = math.inf) -> None:
        """Copy all whole lines that are not in the store yet; after so many seconds the rest waits for the next call.

        Raises OSError; what is missing is copied the next time. A file that cannot be read holds up no other: it is named
        once all others are copied. Files whose names begin with no day are not the log's.
        """
        if not self._folder.is_dir() or not self._holds_lock():
            return
        if self._newest and next(self._objects.keys(self._newest), "") != self._newest:
            self._copied, self._newest = {}, ""  # the store was emptied or restored: it is asked what it has
        end, unreadable = time.monotonic() + seconds, list[str]()
        for path in sorted(self._folder.glob("*.jsonl")):
            if re.match(r"\d{4}-\d\d-\d\d", path.name, re.ASCII):
                try:
                    while self._send_part(path):
                        if time.monotonic() > end:
                            return
                except DataError as error:
                    unreadable.append(str(error))
        if unreadable:
            raise StoreError("; ".join(unreadable))

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
        """Copy the next lines of a file, at most `MOST` bytes; False if there are none. Raises DataError if it cannot be read."""
        with _reading(path):
            first, inode, size = _beginning(path) if path.is_file() else (b"", -1, 0)
        if not first.endswith(b"\n"):
            return False
        name = f"{path.name[:10]}/{short_hash(first)}"  # also of a file that was renamed
        seen, begin = self._copied.get(name, (-1, 0))
        if seen != inode or begin > size:  # another file than the last time
            copies = self._copies_in_store(name)
            with _reading(path):
                begin = _end_of_copies(path, copies)
            self._copied[name] = inode, begin
        with _reading(path):
            data = _read_at(path, begin, MOST)
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            return False
        end = begin + len(data)
        self._copied.pop(name, None)  # a copy that is not confirmed may be there: after an error the store is asked
        copy = f"{self._prefix}/{name}-{begin:0{DIGITS}}-{end:0{DIGITS}}-{short_hash(data)}.jsonl"
        self._objects.create(copy, data)
        self._copied[name], self._newest = (inode, end), copy
        return True

    def _copies_in_store(self, name: str) -> list[tuple[int, int, str]]:
        """The first byte, the end and the hash of every copy of a file, the newest first."""
        keys = self._objects.keys(f"{self._prefix}/{name}-")
        copies = [re.search(r"-(\d+)-(\d+)-([0-9a-f]+)\.jsonl$", key) for key in keys]
        return sorted(((int(c[1]), int(c[2]), c[3]) for c in copies if c), reverse=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A block that reads a file of the log, and nothing of the store. Raises DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): repair it, or move it away") from error


def _beginning(path: Path) -> tuple[bytes, int, int]:
    """The first line of a file, its inode and its size."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        return file.readline(), state.st_ino, state.st_size


def _read_at(path: Path, begin: int, most: int) -> bytes:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(most)


def _end_of_copies(path: Path, copies: Iterable[tuple[int, int, str]]) -> int:
    """The end of the newest copy that is still a part of the file."""
    matching = (end for begin, end, content in copies if short_hash(_read_at(path, begin, end - begin)) == content)
    return next(matching, 0)
