"""Short errors: one line for each error that Prefect's server and worker log in the terminal of `nightloop up`."""

from __future__ import annotations

import copy
import logging

from prefect.logging.handlers import PrefectConsoleHandler


class ShortErrors(PrefectConsoleHandler):
    """Prefect's handler for the console, without tracebacks of Prefect's own code.

    Its server and worker log tracebacks of errors that they retry, such as a database that is locked for a moment.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record; of an exception its kind and its first line."""
        super().emit(short(record))


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
