"""Scratch: a temporary directory. It is removed when its owner ends, or by the next owner if the process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".scratch-"  # no pipeline can have such a name: the directories of their lakes may lie beside it


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A new directory in `parent`, locked until the block ends. Directories of killed processes are removed first."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        _remove_if_dead(left)
    handle, path = _create_locked(parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _create_locked(parent: Path) -> tuple[int, Path]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            handle = os.open(path, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        if path.exists():
            return handle, path
        os.close(handle)  # another process removed it before it was locked


def _remove_if_dead(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        return  # its owner is alive
    finally:
        os.close(handle)
