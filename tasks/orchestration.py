"""Orchestration: flows and tasks, run by Prefect or by this process alone. That is decided once, when a flow starts.

A flow runs under Prefect if a deployment starts it, or if the settings say so (`Settings.uses_prefect`). Its tasks
follow it. Both ways the same functions run and the same records are written. Prefect only shows what happened: if its API
is lost, a run continues and logs a warning.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from pydantic import ConfigDict, ValidationError, validate_call

from nightloop.tasks.plan.context_value import use_value
from nightloop.tasks.plan.errors import CORRECTABLE, ConflictError, PlanError, error_message, mistake_message
from nightloop.tasks.plan.redact import redact_error
from nightloop.tasks.plan.safe_text import escape_controls, hide_secrets, locate_errors, refuse_not_utf8, require_utf8
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.terminal import as_command, progress_line, terminal

if TYPE_CHECKING:
    import prefect

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Run:
    """The run of a flow that this code belongs to."""

    id: str  # unique
    scheduled: datetime | None = None  # the scheduled time; None: a person started it by hand
    prefect: bool = False  # whether Prefect runs it


@dataclass
class _Call:
    """The outcome of a call that Prefect makes for us, known even if Prefect fails afterwards."""

    began: bool = False
    results: list[Any] = field(default_factory=list)
    error: Exception | None = None


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)
_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)


def run() -> Run:
    """The run that this code belongs to; outside any flow a new one without a schedule."""
    if (current := _RUN.get()) is not None:
        return current
    if "prefect.runtime" in sys.modules:
        from prefect.runtime import flow_run

        if flow_run.id:
            return Run(str(flow_run.id), flow_run.scheduled_start_time, prefect=True)
    return Run(_new_id())


def _new_id() -> str:
    """The machine, the process and a random number."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Flow(Generic[P, R]):
    """A function that Prefect runs as a flow, or that runs in this process. It is called as the function itself."""

    def __init__(self, fn: Callable[P, R], name: str, run_name: Callable[[str, Mapping[str, object]], str]) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name, self.run_name = fn, name, run_name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow. Raises ConflictError with its message if the flow returned `failed`."""
        if Settings().uses_prefect:
            from prefect.exceptions import FailedRun, ParameterTypeError

            refuse_not_utf8(self.name, (args, kwargs))  # the server could not give such a run to anyone
            try:
                with terminal():
                    called = _call_prefect(as_command(self.by_prefect), self._run_here, args, kwargs)
                    return _raise_if_failed(called)  # type: ignore[no-any-return]
            except (ParameterTypeError, FailedRun) as error:
                kind = ConflictError if isinstance(error, FailedRun) else PlanError
                raise kind(str(error)) from None
        return self._run_here(*args, **kwargs)

    def _run_here(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in this process, without any server."""
        try:
            with use_value(_RUN, Run(_new_id())), terminal():
                result: R = self._validated_fn(*args, **kwargs)
                return result
        except ValidationError as error:
            if error.title != self.fn.__qualname__:  # of something that the flow read
                raise
            names = list(inspect.signature(self.fn).parameters)
            where = ((detail["loc"], mistake_message(detail)) for detail in error.errors())
            wrong = "; ".join(
                f"{names[at[0]] if isinstance(at[0], int) else at[0]}: {message}" for at, message in where
            )
            raise PlanError(f"{self.name}: {wrong}") from None

    @functools.cached_property
    def _validated_fn(self) -> Callable[..., Any]:
        """The function, with its parameters checked and converted as Prefect does."""
        config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)
        checked: Callable[..., Any] = validate_call(config=config)(self.fn)
        return checked

    @functools.cached_property
    def by_prefect(self) -> prefect.Flow[..., Any]:
        """The Prefect flow; deployments name it."""
        from prefect import flow
        from prefect.runtime import flow_run

        return flow(
            name=self.name,
            version=version("nightloop"),
            flow_run_name=lambda: self.run_name(self.name, flow_run.get_parameters()),
        )(require_utf8(_fail_in_words(_record_outcome(self.fn))))


class Task(Generic[P, R]):
    """A function that Prefect runs as a task if Prefect runs its flow; elsewhere it is the function itself."""

    def __init__(
        self,
        fn: Callable[P, R],
        title: str | Callable[[Mapping[str, Any]], str],
        pauses: Sequence[float],
        worth: Callable[[object], bool],
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn: Callable[P, R] = hide_secrets()(
            locate_errors(fn, lambda *given: self.run_title(self._bind_arguments(*given)))
        )
        self.title, self.pauses, self.worth = title, tuple(pauses), worth

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task. If it failed and another attempt is worth it, run it again after each pause."""
        if run().prefect:
            result: R = _call_prefect(self.by_prefect, self._run_here, args, kwargs)
            return result
        return self._run_here(*args, **kwargs)

    def _run_here(self, *args: P.args, **kwargs: P.kwargs) -> R:
        name = self.run_title(self._bind_arguments(args, kwargs))
        with progress_line(name):
            for pause in self.pauses:
                try:
                    return self.fn(*args, **kwargs)
                except Exception as error:
                    if not self.worth(error):
                        raise
                    log.warning("%s: tried again in %g s: %s", name, pause, error)
                time.sleep(pause)
            return self.fn(*args, **kwargs)

    def _bind_arguments(self, args: Any, kwargs: Any) -> dict[str, Any]:
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def run_title(self, given: Mapping[str, Any]) -> str:
        """The name of a run with these arguments."""
        return self.title.format(**given) if isinstance(self.title, str) else self.title(given)

    @functools.cached_property
    def by_prefect(self) -> prefect.Task[..., Any]:
        """The Prefect task. Only the store keeps its results."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.runtime import task_run

        return task(
            task_run_name=lambda: self.run_title(task_run.parameters),
            cache_policy=NO_CACHE,
            retries=len(self.pauses),
            retry_delay_seconds=list(self.pauses) or 0,
            retry_condition_fn=lambda task, run, state: self.worth(state.result(raise_on_failure=False)),
        )(_record_outcome(self.fn))


def flow(name: str, run_name: Callable[[str, Mapping[str, object]], str]) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a flow. `run_name` names a run, from the flow's name and its parameters."""
    return lambda fn: Flow(fn, name, run_name)


def task(
    title: str | Callable[[Mapping[str, Any]], str],
    pauses: Sequence[float] = (),
    worth: Callable[[object], bool] = lambda error: True,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task.

    `title`: the name of a run; a template over its arguments, or a function of them. `pauses`: seconds before each
    further attempt. `worth`: whether another attempt may help after this error. No error of a task carries a credential.
    """
    return lambda fn: Task(fn, title, pauses, worth)


def failed(message: str) -> Any:
    """The value that a flow returns to end as failed without an exception. Without Prefect it raises ConflictError at once."""
    if not run().prefect:
        raise ConflictError(message)
    from prefect.states import Failed

    return Failed(message=escape_controls(message))  # PostgreSQL refuses a state with a NUL


def _record_outcome(fn: Callable[P, R]) -> Callable[P, R]:
    """The function, which stores its outcome for the caller, in case Prefect loses it."""

    @functools.wraps(fn)
    def recording_fn(*args: P.args, **kwargs: P.kwargs) -> R:
        call = _CALL.get() or _Call()
        call.began, call.error = True, None
        try:
            call.results.append(fn(*args, **kwargs))
        except Exception as error:
            call.error = error
            raise
        return call.results[-1]  # type: ignore[no-any-return]

    # Prefect reads the types of a form's fields from the function that it is given, in that function's own module.
    recording_fn.__signature__ = inspect.signature(fn, eval_str=True)  # type: ignore[attr-defined]
    recording_fn.__annotations__ = inspect.get_annotations(fn, eval_str=True)
    return recording_fn


def _fail_in_words(fn: Callable[P, R]) -> Callable[P, R]:
    """The function of a flow; if it raises what a person can correct, the flow's run fails with that message instead."""

    @functools.wraps(fn)
    def failing_fn(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except CORRECTABLE as error:
            return failed(error_message(redact_error(error)))  # type: ignore[no-any-return]

    return failing_fn


def _call_prefect(by_prefect: Callable[..., Any], call_here: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Have Prefect make the call. If its API is lost: return the call's outcome, or make the call here if it had not begun."""
    with use_value(_CALL, _Call()) as call:
        try:
            return by_prefect(*args, **kwargs)
        except Exception as error:
            if error is call.error or not (call.error or lost(error)):
                raise
            if lost(error):
                log.warning(
                    "Prefect's API is lost (%s): this run continues without it; the store keeps its record", error
                )
            if call.error:
                raise call.error from call.error.__cause__
            if call.results:
                return call.results[-1]
            if call.began:
                raise
            return call_here(*args, **kwargs)


def lost(error: BaseException | None) -> bool:
    """Whether this error says that Prefect's API cannot be reached, or cannot answer at present."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    if isinstance(error, httpx.TransportError) or "Failed to reach API at" in str(error):
        return True
    return error is not None and lost(error.__cause__)


def _raise_if_failed(result: Any) -> Any:
    """What a flow returned. Raises ConflictError with its message if that is a failed state."""
    message = getattr(result, "message", None)
    if message is not None and getattr(result, "is_failed", bool)():
        raise ConflictError(message)
    return result
