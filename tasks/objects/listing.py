"""Listing: every file below a directory, symbolic links followed. A path that cannot be read is an error, not an absence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nightloop.tasks.plan.errors import StoreError

LOST = "lost+found"  # of a file system, not of a store


def files_below(top: Path) -> list[str]:
    """Paths below `top` with / between their parts, in any order, without names that begin with a dot.

    Empty if `top` does not exist. Raises OSError if a folder cannot be read, if it was removed since its parent was read,
    or if the target of a symbolic link does not exist (a disk that is not mounted) or is a folder above it.
    """
    if top.is_symlink() and not top.exists():
        raise FileNotFoundError(_dangling_link(top))
    if not top.exists():
        return []
    return list(_files(top, "", ()))


def _files(folder: Path, name: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise StoreError(f"{folder} is a symbolic link to a folder above it; remove the link")
    with os.scandir(folder) as scan:  # read to its end before its folders are, so that few are open at once
        entries = [entry for entry in scan if not entry.name.startswith(".") and entry.name != LOST]
    for entry in entries:
        path = f"{name}{entry.name}"
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{path}/", (*above, identity))
        elif entry.is_file():
            yield path
        elif entry.is_symlink():
            raise FileNotFoundError(_dangling_link(entry.path))


def _dangling_link(link: Path | str) -> str:
    return f"{link} is a symbolic link whose target does not exist; mount the disk, or correct the link"
