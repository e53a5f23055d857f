"""Asking: how DuckDB is asked: again where the next moment answers otherwise, and so that Ctrl-C ends it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TypeVar

import pyarrow as pa

from nightloop.tasks.plan.errors import DataError

# A statement that could not see the catalog has done nothing yet: SQLite says "disk I/O error" to who opens it while the
# last of the others closes and takes its write-ahead log away.
UNSEEN = re.compile("(query most recent snapshot|journal_mode).*(disk I/O error|is locked)", re.I)
# Other writers, and a transaction that such a moment has ended.
IN_THE_WAY = re.compile(
    "conflict|is locked|concurrent|could not serialize|deadlock|already exists|unique constraint|is aborted|"
    + UNSEEN.pattern,
    re.I,
)
# Wrong with what is read, which pyarrow tells as an OSError where DuckDB finds it on the way.
AMISS = re.compile("^(Invalid Input|Conversion|Out of Range|Parser|Invalid) ?Error", re.I)
Answer = TypeVar("Answer")


def retry_unseen(ask: Callable[[], Answer], kind: type[Exception]) -> Answer:
    """The answer of a statement, asked again where an error of this kind says that it could not see the catalog."""
    for pause in (0.02, 0.1, 0.5):
        try:
            return ask()
        except kind as error:
            if not UNSEEN.search(str(error)):
                raise
        time.sleep(pause)
    return ask()


def interruptible(ask: Callable[[], Answer], interrupt: Callable[[], None]) -> Answer:
    """The answer of a statement. Ctrl-C, a cancel and the limit of a night end it: `interrupt` does, from another thread.

    DuckDB makes Arrow tables without a look at signals: it works in a thread of its own while this one waits for it.
    """
    if threading.current_thread() is not threading.main_thread():  # where signals do not arrive
        return ask()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(copy_context().run, ask)
        try:
            return asked.result()
        except BaseException:
            while not asked.done():  # a statement that has not begun yet hears nothing
                interrupt()
                wait([asked], 0.1)
            raise


@contextmanager
def unwrap_interrupts() -> Iterator[None]:
    """A block in which Ctrl-C and a cancel stay what they are: DuckDB says "Query interrupted", and names them as the cause."""
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is None or isinstance(error.__cause__, Exception):
            raise
        raise error.__cause__ from None


def next_batch(answer: pa.RecordBatchReader, interrupt: Callable[[], None]) -> pa.RecordBatch | None:
    """The next batch of an answer, or None. Raises DataError for what is wrong with the rows, OSError for the way to them."""
    try:
        return interruptible(partial(next, answer, None), interrupt)
    except OSError as error:
        if AMISS.search(str(error)):
            raise DataError(str(error)) from error
        raise
