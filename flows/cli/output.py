"""Output: what a verb of the console script prints, and how it ends if it failed."""

from __future__ import annotations

import logging
import sys
import traceback
from importlib.metadata import version
from typing import Any, NoReturn

import typer

from nightloop.tasks.plan.errors import error_message
from nightloop.tasks.plan.redact import redact_error
from nightloop.tasks.plan.safe_text import json_of, safe_text

EXIT_MISTAKE = 2
EXIT_FAULT = 70  # of sysexits.h: an internal software error


def say(report: Any, as_json: bool) -> None:
    """Print a report: one JSON document, or its text."""
    if as_json:
        sys.stdout.write(json_of({"text": report} if isinstance(report, str) else report, indent=2) + "\n")
        return
    text = report.get("text", "") if isinstance(report, dict) else report
    sys.stdout.write(safe_text("\n".join(text) if isinstance(text, list) else str(text)) + "\n")


def keep_log_record(record: logging.LogRecord) -> bool:
    """Whether to show a log record. Prefect logs what a flow or task raised; `main` reports it, so it is not shown twice."""
    repeated = record.exc_info or str(record.msg).startswith(("Finished in state", "Crash detected"))
    return not (record.name.startswith("prefect.") and repeated)


def fail(error: BaseException) -> NoReturn:
    """Report an error that a person can correct, in one paragraph, and exit."""
    error = redact_error(error)
    if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        sys.stderr.write(safe_text("".join(traceback.format_exception(error))))
    _exit_with(error_message(error), EXIT_MISTAKE)


def report_fault(error: BaseException) -> NoReturn:
    """Report a fault of nightloop or of a plug-in with its traceback and what to do, and exit."""
    error = redact_error(error)
    sys.stderr.write(safe_text("".join(traceback.format_exception(error))))
    message = f"{type(error).__name__}: {error}"
    _exit_with(f"{message}. This is a fault of nightloop or of a plug-in: report it with the lines above", EXIT_FAULT)


def _exit_with(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"nightloop: {safe_text(message)}\n")
    if "--json" in sys.argv:
        sys.stdout.write(json_of({"error": message}) + "\n")
    raise SystemExit(code)


def say_version(wanted: bool) -> None:
    """Print the release, and exit."""
    if wanted:
        sys.stdout.write(f"nightloop {version('nightloop')}\n")
        raise typer.Exit
