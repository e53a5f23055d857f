"""Compiler: numba, with a cache in a directory that only its owner can enter. Importing this imports numba.

numba's index of a cache is a pickle, which can run code when it is read. So it is read only from a directory of the user
himself that nobody else may write to, and never from a store. A cache that is damaged, or on a full disk, is no error: the
code is compiled again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from nightloop.tasks.plan.settings import user_cache

log = logging.getLogger(__name__)


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
        cache.mkdir(parents=True, exist_ok=True)
        for folder in (directory.parent, directory):  # the mode of parents would be that of the umask
            folder.mkdir(exist_ok=True, mode=0o700)
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


class Cache:
    """numba's cache of one function. An error of it is a warning, and the function is compiled."""

    def __init__(self, numbas: Any) -> None:
        self._numbas = numbas
        self.cache_path = numbas.cache_path

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled code, or None. A cache that cannot be read is emptied."""
        try:
            return self._numbas.load_overload(signature, target)
        except Exception as error:
            log.warning("the cache of compiled code in %s is made again: %s", self.cache_path, error)
        try:
            self._numbas.flush()
        except Exception as error:
            log.warning("the cache of compiled code cannot be emptied: %s", error)
        return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep the compiled code, if that is possible."""
        try:
            self._numbas.save_overload(signature, code)
        except Exception as error:
            log.warning("compiled code is not kept, the next process compiles it again: %s", error)


def compiled(function: Callable[..., Any]) -> Any:
    """The function, compiled, that Python calls. It may not allocate: references to arrays are not counted, because counters
    that threads share took half of the time."""
    dispatcher: Any = numba.njit(nogil=True, _nrt=False, cache=_DIRECTORY is not None)(function)  # type: ignore[call-overload]
    if _DIRECTORY is not None:
        dispatcher._cache = Cache(dispatcher._cache)
    return dispatcher


_DIRECTORY = cache_directory(user_cache(), numba.__version__)
if _DIRECTORY is not None:
    numba.config.CACHE_DIR = str(_DIRECTORY)  # type: ignore[attr-defined]
inlined: Any = numba.njit(nogil=True, inline="always")  # a function that only compiled ones call
