"""Again: which of DuckDB's errors are tried once more, because the next moment answers otherwise."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

# A statement that could not see the catalog has done nothing yet: SQLite says "disk I/O error" to who opens it while the
# last of the others closes and takes its write-ahead log away.
UNSEEN = re.compile("query most recent snapshot.*(disk I/O error|is locked)", re.I)
# Other writers, and a transaction that such a moment has ended.
IN_THE_WAY = re.compile(
    "conflict|is locked|concurrent|could not serialize|deadlock|already exists|unique constraint|is aborted|"
    + UNSEEN.pattern,
    re.I,
)
Answer = TypeVar("Answer")


def begun(ask: Callable[[], Answer], kind: type[Exception]) -> Answer:
    """The answer of a statement, asked again where an error of this kind says that it could not see the catalog."""
    for wait in (0.02, 0.1, 0.5):
        try:
            return ask()
        except kind as error:
            if not UNSEEN.search(str(error)):
                raise
        time.sleep(wait)
    return ask()
