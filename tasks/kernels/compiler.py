"""Compiler: numba, with a cache in a directory that only its owner can enter. Importing this imports numba.

numba's index of a cache is a pickle, which can run code when it is read. So it is read only from a directory of the user
himself that nobody else may write to, and never from a store.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from pathlib import Path
from typing import Any

import numba

from nightloop.tasks.plan.settings import user_cache


def cache_directory(cache: Path, version: str) -> Path | None:
    """The directory in `cache` for these kernels, compiled by this version; None: it is not safe or not writable.

    Without it code is compiled once a process. Kernels of another release have another directory, because an index names
    the classes of the code that wrote it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from nightloop.tasks.kernels.compiler import cache_directory
    >>> cache = Path(tempfile.mkdtemp())
    >>> directory = cache_directory(cache, "0.68.0")
    >>> print(directory.name.startswith("numba-0.68.0"), oct(directory.stat().st_mode & 0o777))
    True 0o700
    >>> directory.chmod(0o777)
    >>> print(cache_directory(cache, "0.68.0"))
    None
    """
    try:
        directory = cache / "nightloop" / f"numba-{version}-{platform.machine()}-{_source_hash()}"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory if _is_private(directory.parent) and _is_private(directory) else None
    except OSError:
        return None


def _source_hash() -> str:
    """A hash of the kernels' source."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _is_private(directory: Path) -> bool:
    """Whether it is a directory of this user's own, not a link, that nobody else may write to and that he may."""
    found = directory.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & 0o022
        and os.access(directory, os.W_OK)
    )


_DIRECTORY = cache_directory(user_cache(), numba.__version__)
if _DIRECTORY is not None:
    numba.config.CACHE_DIR = str(_DIRECTORY)  # type: ignore[attr-defined]
compiled: Any = numba.njit(nogil=True, cache=_DIRECTORY is not None)  # a function that Python calls
inlined: Any = numba.njit(nogil=True, inline="always")  # a function that only compiled ones call
