"""Safe text: text that leaves the process, to a terminal, a log or a state: credentials masked, control characters escaped.

What a run is given must be UTF-8: JSON and a command line can hold half of a character. Prefect's server stores it, and fails
from then on whenever it answers with it: no worker gets any run, and no page shows them.

`hide_secrets` wraps every task and the functions that open plan, store and lake, so that errors are masked before Prefect
stores them; `guard_process` does the same for log records and for uncaught exceptions.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import threading
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.redact import MASK, holds_credentials, redact, redact_error

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

P = ParamSpec("P")
R = TypeVar("R")
UTF8 = {"pattern": r"^[^\ud800-\udfff]*$"}  # of a JSON schema: a text without half of a character
OTHER_TYPES = ("anyOf", "allOf", "$ref", "enum", "const")  # keys of schemas that have no pattern of their own
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def safe_text(text: str) -> str:
    """The text with credentials masked and control characters escaped."""
    return escape_controls(redact(text))


def escape_controls(text: str) -> str:
    """The text with every character escaped that would move a cursor, colour, hide or reorder text.

    Line ends and tabs stay. Names, reasons and rows of logs may hold ESC, C1, carriage returns and direction marks.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" or unicodedata.category(c) == "Zs" else _escape(c) for c in text)


def json_of(value: object, indent: int | None = None) -> str:
    """One JSON document in ASCII with credentials masked; safe in a terminal as well."""
    return json.dumps(_redact_nested(value), indent=indent, default=lambda unknown: redact(str(unknown))).replace(
        "\x7f", "\\u007f"
    )


@contextmanager
def hide_secrets() -> Iterator[None]:
    """A block, or as `@hide_secrets()` a function, whose errors carry no credential."""
    guard_process()
    try:
        yield
    except Exception as error:
        safe = redact_error(error)
        if safe is error:
            raise
        raise safe from None


def locate_errors(fn: Callable[P, R], where: Callable[[Any, Any], str]) -> Callable[P, R]:
    """The function; its errors of memory and disk say where they occurred, by its arguments."""

    @wraps(fn)
    def with_location(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except (MemoryError, OSError) as error:
            locate(error, where(args, kwargs))
            raise

    return with_location


def locate(error: Exception, where: str) -> None:
    """Add to an error of the machine where it occurred, once. Messages of nightloop itself say it already."""
    if getattr(error, "located", False) or (isinstance(error, OSError) and not error.strerror):
        return
    error.located = True  # type: ignore[attr-defined]
    if isinstance(error, OSError):
        error.strerror = f"{where}: {error.strerror}"
    else:
        error.args = (f"{where}: {error if str(error) else 'not enough memory'}", *error.args[1:])


def refuse_not_utf8(name: str, values: object) -> None:
    """Raise PlanError if a text within the values cannot be written in UTF-8."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        before = text[max(error.start - 20, 0) : error.start]
        raise PlanError(f"{name}: a text is not UTF-8, after {before!r}: write it in UTF-8") from None


def require_utf8(fn: Callable[P, R]) -> Callable[P, R]:
    """The function, for whose parameters a schema says that texts are UTF-8: Prefect's server then refuses others."""
    signature = inspect.signature(fn)
    parameters = [p.replace(annotation=Annotated[p.annotation, Utf8Texts()]) for p in signature.parameters.values()]
    fn.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return fn


class Utf8Texts:
    """In the annotation of a parameter: its JSON schema has a pattern for every text within it."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As pydantic asks for it."""
        return _with_patterns(handler(schema))


def _with_patterns(schema: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(schema) or {"additionalProperties": UTF8, "items": UTF8, "propertyNames": UTF8}  # any value
    if whole.get("type", "string") == "string" and not any(key in whole for key in OTHER_TYPES):
        whole = {**UTF8, **whole}
    if "anyOf" in whole:
        whole["anyOf"] = [_with_patterns(one) for one in whole["anyOf"]]
    if whole.get("type") == "array":
        whole["items"] = _with_patterns(whole.get("items", {}))
    if whole.get("type") == "object":
        others = whole.get("additionalProperties", {})
        whole["additionalProperties"] = _with_patterns(others if isinstance(others, Mapping) else {})
        whole["propertyNames"] = UTF8
    return whole


def guard_process() -> None:
    """Mask log records when they are made, before any handler sees them, and warnings of Python and uncaught exceptions.

    Repeating is harmless.
    """
    factory = logging.getLogRecordFactory()
    if getattr(factory, "guarded", False):
        return

    def guarded_record(*arguments: object) -> logging.LogRecord:
        return _redact_record(factory(*arguments))

    guarded_record.guarded = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(guarded_record)
    warnings.formatwarning = _format_safely(warnings.formatwarning)
    sys.excepthook = partial(_report_uncaught, sys.excepthook)
    threading.excepthook = partial(_report_uncaught_in_thread, threading.excepthook)


def _escape(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _redact_nested(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(k) if isinstance(k, str) else k: _redact_entry(k, v) for k, v in value.items()}
    return [_redact_nested(item) for item in value] if isinstance(value, list | tuple) else value


def _redact_entry(key: object, value: object) -> object:
    """A value under its key; it is masked if the key says that it is a credential."""
    return MASK if isinstance(value, str) and value and holds_credentials(f"{key}={value}") else _redact_nested(value)


def _redact_record(record: logging.LogRecord) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except Exception:  # the format does not fit its values: do not show them, and do not raise in the caller
        record.msg, record.args = f"{safe_text(str(record.msg))} (its values cannot be shown)", ()
        return record
    if (safe := safe_text(message)) != message:
        record.msg, record.args = safe, ()
    if record.exc_info and record.exc_info[1] is not None:
        redact_error(record.exc_info[1])
        record.exc_text = safe_text("".join(traceback.format_exception(record.exc_info[1])).rstrip("\n"))
    return record


def _format_safely(before: Callable[P, str]) -> Callable[P, str]:
    """What makes the text of a warning of Python, which goes to stderr and not through the log: masked."""

    def format_warning(*args: P.args, **kwargs: P.kwargs) -> str:
        return safe_text(before(*args, **kwargs))

    return format_warning


def _report_uncaught(
    before: Hook, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Mask an uncaught exception, and pass it to the hook that was set before, or print its traceback."""
    safe = redact_error(error)
    if before is not sys.__excepthook__:
        before(type(safe), safe, trace)
    else:
        sys.stderr.write(safe_text("".join(traceback.format_exception(type(safe), safe, trace))))


def _report_uncaught_in_thread(
    before: Callable[[threading.ExceptHookArgs], object], arguments: threading.ExceptHookArgs
) -> None:
    """The same for an exception in a thread."""
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        redact_error(arguments.exc_value)
        if before is not threading.__excepthook__:
            before(arguments)
        else:
            _report_uncaught(sys.__excepthook__, arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
