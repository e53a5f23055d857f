"""Short errors: what Prefect logs of an error, in the terminal of `nightloop up` and on the page of a run, in one line."""

from __future__ import annotations

import copy
import logging

from prefect.exceptions import FailedRun
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from nightloop.tasks.plan.errors import CORRECTABLE, error_message

# Logged if an event arrives late: the server looks for runs without a heartbeat, and finds that this one has ended.
REFUSED = "Failed to set state: Run is already in terminal state"


class ShortErrors(PrefectConsoleHandler):
    """Prefect's handler for the console, without tracebacks of Prefect's own code.

    Its server and worker log tracebacks of errors that they retry, such as a database that is locked for a moment.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record; of an exception its kind and its first line."""
        if REFUSED not in record.getMessage():
            super().emit(short(record))


class RunPageLog(APILogHandler):
    """Prefect's handler for the log on the page of a run, without tracebacks of errors that a person can correct.

    Such an error is the message of the run's state. All other errors are faults, and keep their tracebacks.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record, or its error's sentence. What only repeats the state of the run is left out."""
        if (shown := in_words(record)) is not None:
            super().emit(shown)


def in_words(record: logging.LogRecord) -> logging.LogRecord | None:
    """The record; if Prefect logs an error that a person can correct, a copy with its message alone. None: a repetition."""
    error = record.exc_info[1] if record.exc_info else None
    if not record.name.startswith("prefect.") or not isinstance(error, (FailedRun, *CORRECTABLE)):
        return record
    if isinstance(error, FailedRun):  # the state that the run ended with; the next record says it too
        return None
    shown = copy.copy(record)
    shown.exc_info = shown.exc_text = shown.stack_info = None
    shown.msg, shown.args = error_message(error), ()
    return shown


def short(record: logging.LogRecord) -> logging.LogRecord:
    """The record; if it holds an exception, a copy whose message names it."""
    if not record.exc_info and not record.exc_text:
        return record
    error = record.exc_info[1] if record.exc_info else None
    shortened = copy.copy(record)
    shortened.exc_info = shortened.exc_text = shortened.stack_info = None
    if error is not None:
        first = next(iter(str(error).splitlines()), "")
        shortened.msg, shortened.args = f"{record.getMessage()} ({type(error).__name__}: {first[:200]})", ()
    return shortened
