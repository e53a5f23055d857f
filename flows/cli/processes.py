"""Processes: one `nightloop up` or `worker` a home, and every process that it or one of its runs started, whatever its parent is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightloop.flows.cli.login import login_directory, private_directory
from nightloop.tasks.plan.errors import ConflictError

MARK = "NIGHTLOOP_UP"  # environment variable: the home of the `nightloop up` or `worker` that a process belongs to
RUN = "PREFECT__FLOW_RUN_ID"  # environment variable of a run's processes, set by Prefect
PAUSE = 0.2  # seconds between two checks of processes that are to end


@contextmanager
def only_one(url: str) -> Iterator[None]:
    """While the block runs, no other `nightloop up` or `nightloop worker` starts on this home.

    Raises ConflictError with the address of another. A lock ensures this. It ends with the process, so a dead one blocks no other.
    """
    import fcntl  # not on every system, and no verb but `up` needs it there

    with (private_directory() / "up").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            where, _, pid = stream.read(200).strip().partition(" ")
            raise ConflictError(
                f"`nightloop up` or `nightloop worker` runs already on the home {login_directory().parent}, "
                f"at {where or 'a port that is not known yet'}, as "
                f"process {pid or 'unknown'}. Nothing was changed. Stop it first (Ctrl-C there, or `kill {pid or 'PID'}`), add a "
                f"pipeline to it with `nightloop deploy PLAN`, or set NIGHTLOOP_HOME to another home"
            ) from None
        stream.truncate(0)
        stream.write(f"{url} {os.getpid()}")
        stream.flush()
        yield


def note_run() -> None:
    """Note in the home of its worker that this process is a run of it; nothing if no worker of nightloop started it."""
    home, run = os.environ.get(MARK), os.environ.get(RUN)
    if home and run:
        directory = _notes(Path(home))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / run).touch()


def noted_runs(home: Path) -> set[str]:
    """The ids of the runs that workers of this home have started, and that are not forgotten yet."""
    directory = _notes(home)
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def forget_runs(home: Path, runs: Iterable[str]) -> None:
    """Forget that workers of this home started these runs."""
    for run in runs:
        (_notes(home) / run).unlink(missing_ok=True)


def _notes(home: Path) -> Path:
    return home / "prefect" / "runs"


def can_list_processes() -> bool:
    """Whether this system shows which processes belong to a run. If not, a run without one is not treated as dead."""
    return Path("/proc/self/environ").exists()


def child_processes(home: Path) -> dict[int, str]:
    """The processes that a `nightloop up` of this home started, without itself, each with the id of its run or an empty text.

    Without /proc the result is empty: then only parents know their children.
    """
    processes = {}
    mark = f"{MARK}={home}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().split(b"\0")  # empty for a process that has ended
        except OSError:  # it has just ended, or belongs to another user
            continue
        pid = int(path.parent.name)
        if mark in words and pid != os.getpid():
            runs = (word.decode(errors="replace") for word in words if word.startswith(f"{RUN}=".encode()))
            processes[pid] = next(runs, "=").partition("=")[2]
    return processes


def end_runs(home: Path, patience: float, wanted: frozenset[str] | None = None) -> set[str]:
    """End the processes of these runs (None: of all), and wait until they are gone. Returns the ids of the runs.

    Each gets one SIGTERM, and records its end with the server. What does not end within `patience` seconds is killed.
    """
    last, signalled, runs = time.monotonic() + patience, set[int](), set[str]()
    while alive := {
        pid: run for pid, run in child_processes(home).items() if run and (wanted is None or run in wanted)
    }:
        runs |= set(alive.values())
        for pid in alive:
            if time.monotonic() > last:
                _send(pid, signal.SIGKILL)
            elif pid not in signalled and _leader(pid) not in alive.keys() - {
                pid
            }:  # helpers end with the process they help
                signalled.add(pid)
                _send(pid, signal.SIGTERM)
        time.sleep(PAUSE)
    return runs


def end_all(home: Path) -> int:
    """Kill all processes that an earlier `nightloop up` of this home left. Returns how many there were.

    Its worker and server are killed before its runs, so that no end of a run is recorded: they stay active, to be resumed.
    """
    count = len(child_processes(home))
    while alive := child_processes(home):
        for pid in sorted(alive, key=lambda pid: bool(alive[pid])):
            _send(pid, signal.SIGKILL)
        time.sleep(PAUSE)
    return count


def _leader(pid: int) -> int:
    """The process that leads the session of this one."""
    try:
        return os.getsid(pid)
    except OSError:
        return pid


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
