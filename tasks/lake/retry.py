"""Retry: repeat DuckDB statements after temporary errors, and let Ctrl-C end them."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from nightloop.tasks.plan.errors import DataError, StoreError

# A statement that could not read the catalog has done nothing yet. SQLite reports "disk I/O error" if it is opened while
# the last other connection closes and removes its write-ahead log.
UNSEEN = re.compile("(query most recent snapshot|journal_mode).*(disk I/O error|is locked)", re.I)
# Conflicts with other writers, and a transaction that such an error has aborted.
IN_THE_WAY = re.compile(
    "conflict|is locked|concurrent|could not serialize|deadlock|already exists|unique constraint|is aborted|"
    + UNSEEN.pattern,
    re.I,
)
PLACE = re.compile(r"""(['"])(?:s3:/)?[^'"\n:]*/[^'"\n]*\1""")  # the path of a file, which may hold any word
# PostgreSQL does not run, or has ended the connection: the logs are not at fault.
LOST = re.compile(
    "failed: (Connection refused|Connection timed out|timeout expired|FATAL: +the database system is)|"
    "server closed the connection|no connection to the server|terminating connection|SSL SYSCALL"
    '|Failed to execute query "ROLLBACK"',
    re.I,
)
# SQLite's disk error is a conflict only while it is rare: on a full or broken disk every attempt ends with it.
DISK = re.compile("disk I/O error", re.I)
DISK_ERRORS = 10  # attempts, about two seconds
ATTEMPTS = 60  # of a write that conflicts with other writers
# Errors in the data, which pyarrow raises as OSError if DuckDB finds them while it streams.
AMISS = re.compile("^(Invalid Input|Conversion|Out of Range|Parser|Invalid) ?Error", re.I)
OWN_FILE = re.compile(r"/ducklake-[0-9a-f-]+\.parquet")
ADVICE = ". If this file of the lake is lost or damaged, restore it from a backup; without one, see 'a file of the lake' in docs/operate.md"
Answer = TypeVar("Answer")
# Statements, each with where its answer goes.
Statements: TypeAlias = SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Future[Any]]]]


def is_in_the_way(message: str) -> bool:
    """Whether an error says that other writers were in the way."""
    return IN_THE_WAY.search(PLACE.sub("", message)) is not None


def with_advice(message: str) -> str:
    """The message; with what to do, if it is of a Parquet file of a lake."""
    return message + ADVICE if OWN_FILE.search(message) else message


def catalog_busy(message: str) -> StoreError:
    """An error for which `is_in_the_way`, in words for people. A write is begun again; who only reads is told."""
    if DISK.search(message):
        return StoreError(
            "the disk of the lake's catalog cannot be read or written: it is full or read-only, or it fails. Free space "
            f"and run again ({message})"
        )
    return StoreError(f"other processes write to the catalog of the lake; run again when they are done ({message})")


def retry_unseen(ask: Callable[[], Answer], kind: type[Exception]) -> Answer:
    """The answer of a statement. It is repeated if an error of this kind says that it could not read the catalog."""
    for pause in (0.02, 0.1, 0.5):
        try:
            return ask()
        except kind as error:
            if not UNSEEN.search(str(error)):
                raise
        time.sleep(pause)
    return ask()


def retry_conflicts(attempt: Callable[[], Answer]) -> Answer:
    """The result of `attempt`, repeated with increasing pauses while the catalog is busy.

    Raises StoreError if the disk fails, and TimeoutError if the conflicts do not end.
    """
    last = ""
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except StoreError as error:
            last = str(error.__cause__)  # DuckDB's own words
            if not is_in_the_way(last) or (DISK.search(last) and number >= DISK_ERRORS):
                raise
        time.sleep(random.uniform(0.5, 1.0) * min(2.0, 0.02 * 1.5**number))
    raise TimeoutError(f"other writers conflicted {ATTEMPTS} times; run again when they are done. Last error: {last}")


def interruptible(ask: Callable[[], Answer], interrupt: Callable[[], None]) -> Answer:
    """The answer of a statement. Ctrl-C, a cancel and the limit of a night end it, by `interrupt` from another thread.

    DuckDB does not check signals while it makes Arrow tables, so it runs in a thread of its own while this one waits.
    """
    if threading.current_thread() is not threading.main_thread():  # signals arrive only in the main thread
        return ask()
    statements, answers = _statement_thread(os.getpid()), SimpleQueue[Future[Answer]]()
    try:
        statements.put((partial(copy_context().run, ask), answers))
        answer = answers.get()
    except BaseException:
        _await_end(statements, interrupt)
        raise
    return answer.result()


def _await_end(statements: Statements, interrupt: Callable[[], None]) -> None:
    """End the statement that runs, if one does. Signals that come meanwhile are raised afterwards: two threads that use one
    connection of DuckDB, one of them to read Python's rows, wait for each other."""
    ended = SimpleQueue[Future[None]]()
    try:
        statements.put((lambda: None, ended))  # runs after the statement
        while not _has_ended(ended):
            interrupt()
    except BaseException:
        _await_end(statements, interrupt)
        raise


def _has_ended(ended: SimpleQueue[Future[None]]) -> bool:
    """Whether there is an answer within a tenth of a second. A statement that has not started yet ignores the interrupt."""
    with suppress(Empty):
        ended.get(timeout=0.1)
        return True
    return False


@cache
def _statement_thread(process: int) -> Statements:
    """Where statements are put for the thread that runs those of a process's main thread: to start one for each takes up to
    a millisecond. A fork has no threads, so that it needs another one.

    Only these queues are between the two threads: an exception that a signal raises inside a lock of `threading` leaves it
    locked, and both would wait for ever.
    """
    statements: Statements = SimpleQueue()
    Thread(target=_run_statements, args=(statements,), daemon=True).start()
    return statements


def _run_statements(statements: Statements) -> None:
    while True:
        ask, answers = statements.get()
        answer = Future[Any]()
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)
        answers.put(answer)
        del ask, answers, answer  # a statement holds rows


@contextmanager
def unwrap_interrupts() -> Iterator[None]:
    """A block out of which Ctrl-C and a cancel are raised as such: DuckDB wraps them in "Query interrupted" errors."""
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is None or isinstance(error.__cause__, Exception):
            raise
        raise error.__cause__ from None


def next_batch(answer: pa.RecordBatchReader, interrupt: Callable[[], None]) -> pa.RecordBatch | None:
    """The next batch of an answer, or None. Raises DataError if the rows are wrong, OSError if they cannot be read."""
    try:
        return interruptible(partial(next, answer, None), interrupt)
    except OSError as error:
        if AMISS.search(str(error)):
            raise DataError(with_advice(str(error))) from error
        raise
