"""Terminal: what a command shows there, and its run under Prefect, which ends when it is cancelled and is marked if it dies."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from nightloop.tasks.plan.context_value import use_value

if TYPE_CHECKING:
    import prefect
    from rich.progress import Progress

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
TAG = "nightloop-command"  # of the runs that a command or a program starts itself, on no worker
HEARTBEAT = 30  # seconds between two heartbeats of such a run: the least that Prefect allows
LOOK = 5.0  # seconds between two looks at its state
_cancelled: set[str] = set()  # ids of the runs of this process that somebody has cancelled
LINES: ContextVar[Progress | None] = ContextVar("lines", default=None)


@contextmanager
def terminal() -> Iterator[None]:
    """Show progress lines on stderr, if it is a terminal; they are removed when the flow has ended."""
    if LINES.get() is not None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as lines, use_value(LINES, lines):
        yield


@contextmanager
def progress_line(title: str) -> Iterator[None]:
    """Show a line in the terminal while the block runs."""
    if (lines := LINES.get()) is None:
        yield
        return
    line = lines.add_task(title, total=None)
    try:
        yield
    finally:
        lines.remove_task(line)


def as_command(flow: prefect.Flow[P, R]) -> Callable[P, Any]:
    """The flow, to be called in this process. Its heartbeat and its tag let the server mark its run if this process dies."""
    from prefect import tags
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    ended = threading.Event()

    def watch(flow: object, flow_run: Any, state: object) -> None:
        if threading.current_thread() is threading.main_thread():  # no other can be interrupted
            wait = copy_context().run
            threading.Thread(target=wait, args=(_wait_for_cancel, flow_run.id, ended), daemon=True).start()

    watched = flow.with_options(on_running=[watch], on_crashed=[_mark_cancelled])

    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            with tags(TAG), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT}):
                return watched(*args, **kwargs)
        finally:
            ended.set()

    return call


def _wait_for_cancel(run_id: Any, ended: threading.Event) -> None:
    """Interrupt this process, as Ctrl-C does, once its run is cancelled in Prefect."""
    from prefect.client.orchestration import get_client

    while not ended.wait(LOOK):
        try:
            with get_client(sync_client=True) as client:
                state: Any = client.read_flow_run(run_id).state
        except Exception as error:  # the run goes on without Prefect
            log.debug("the state of the run could not be read: %s", error)
            continue
        if state.is_cancelling() and not ended.is_set():
            _cancelled.add(str(run_id))
            log.warning("this run was cancelled in Prefect", extra={"flow_run_id": str(run_id)})
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return


def _mark_cancelled(flow: object, flow_run: Any, state: object) -> None:
    """Mark a run that was cancelled as such: Prefect marks every run that is interrupted as crashed."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    if str(flow_run.id) in _cancelled:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(
                flow_run.id, Cancelled(message="what it finished is kept; run it again to resume"), force=True
            )
