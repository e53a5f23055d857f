"""Errors: what a person can correct. Each message says what was given, what is allowed and what to do.

Anything else that is raised is a fault of nightloop or of a plug-in, except OSError and MemoryError, which are the
machine's: a file that is not there, a store that does not answer, a full disk.
"""

import errno
import os
from concurrent.futures import BrokenExecutor
from typing import Any


class NightloopError(Exception):
    """Base of all. The command line prints its message and exits with code 2; the HTTP service answers 4xx."""


class PlanError(NightloopError, ValueError):
    """A plan, a setting, an option or an argument is wrong."""


class DataError(NightloopError, ValueError):
    """Logs, a record of the store or the values of a request cannot be used as they are."""


class ConflictError(NightloopError, RuntimeError):
    """Another run, a person's decision, a blocked night, another program or a missing package prevents the action."""


class StoreError(NightloopError, OSError):
    """The store or the lake does not work as required."""


class NotReady(NightloopError, LookupError):
    """What was requested does not exist, or does not exist yet."""


# Told in a sentence; all others are faults, with a traceback. BrokenExecutor: a worker ended.
CORRECTABLE = (NightloopError, OSError, MemoryError, BrokenExecutor)


def mistake_message(mistake: Any) -> str:
    """The words of one mistake that pydantic found, without its name for the kind."""
    message: str = mistake["msg"]
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def error_message(error: BaseException) -> str:
    """The sentence that an error is told in, with what to do about a disk if the system's own words are all it has."""
    message = f"{error}{_disk_advice(error)}"
    return message or ("there is not enough memory" if isinstance(error, MemoryError) else type(error).__name__)


def _disk_advice(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) and error.strerror == os.strerror(error.errno or 0) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "database or disk is full" in str(error):  # the words of SQLite
        return ". The disk is full: free space and run it again"
    if number == errno.EROFS:
        return ". This file system is read-only: make it writable, or set NIGHTLOOP_HOME to a directory that is"
    return ""
