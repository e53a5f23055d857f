"""Processes: one `nightloop up` a home, and every process that it or one of its runs started, whoever their parent is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightloop.flows.cli.login import login_directory, private_directory
from nightloop.tasks.plan.errors import ConflictError

MARK = "NIGHTLOOP_UP"  # environment variable: the home of the `nightloop up` that a process belongs to
RUN = "PREFECT__FLOW_RUN_ID"  # environment variable of a run's processes, set by Prefect
PAUSE = 0.2  # seconds between two looks at processes that are to end


@contextmanager
def only_one(url: str) -> Iterator[None]:
    """Meanwhile no other `nightloop up` starts on this home. Raises RuntimeError that says where one runs already.

    A lock says so, and it ends with the process: what a dead one wrote keeps nobody out.
    """
    import fcntl  # not on every system, and no verb but `up` needs it there

    with (private_directory() / "up").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            where, _, pid = stream.read(200).strip().partition(" ")
            raise ConflictError(
                f"`nightloop up` runs already on the home {login_directory().parent}, at {where or 'a port that it has not said yet'}, as "
                f"process {pid or 'unknown'}. Nothing was changed. Stop it first (Ctrl-C there, or `kill {pid or 'PID'}`), add a "
                f"pipeline to it with `nightloop deploy PLAN`, or set NIGHTLOOP_HOME to another home"
            ) from None
        stream.truncate(0)
        stream.write(f"{url} {os.getpid()}")
        stream.flush()
        yield


def can_list_processes() -> bool:
    """Whether this system shows which processes belong to a run. Where not, no run is taken for dead for having none."""
    return Path("/proc/self/environ").exists()


def child_processes(home: Path) -> dict[int, str]:
    """The living processes that a `nightloop up` of this home started, itself apart: id of the run of each, or empty.

    Where there is no /proc nothing is found; children are then known to their parents alone.
    """
    found = {}
    mark = f"{MARK}={home}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = place.read_bytes().split(b"\0")  # of a process that has ended: nothing
        except OSError:  # it has just ended, or is somebody else's
            continue
        pid = int(place.parent.name)
        if mark in words and pid != os.getpid():
            runs = (word.decode(errors="replace") for word in words if word.startswith(f"{RUN}=".encode()))
            found[pid] = next(runs, "=").partition("=")[2]
    return found


def end_runs(home: Path, patience: float, wanted: frozenset[str] | None = None) -> set[str]:
    """End the processes of these runs (None: of all), and wait until they are gone. Returns the ids of the runs.

    Each is told once, and records its end with the server. What does not end within `patience` seconds is killed.
    """
    last, told, runs = time.monotonic() + patience, set[int](), set[str]()
    while here := {pid: run for pid, run in child_processes(home).items() if run and (wanted is None or run in wanted)}:
        runs |= set(here.values())
        for pid in here:
            if time.monotonic() > last:
                _send(pid, signal.SIGKILL)
            elif pid not in told and _leader(pid) not in set(here) - {pid}:  # helpers end with the process they help
                told.add(pid)
                _send(pid, signal.SIGTERM)
        time.sleep(PAUSE)
    return runs


def end_all(home: Path) -> int:
    """Kill everything that an earlier `nightloop up` of this home left behind. Returns how many processes that were.

    Its worker and server die before its runs: nobody records that those ended, so they are known as under way.
    """
    there = len(child_processes(home))
    while here := child_processes(home):
        for pid in sorted(here, key=lambda pid: bool(here[pid])):
            _send(pid, signal.SIGKILL)
        time.sleep(PAUSE)
    return there


def _leader(pid: int) -> int:
    """The process that leads the session of this one."""
    try:
        return os.getsid(pid)
    except OSError:
        return pid


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
