"""Supervised processes: start the processes of `nightloop up` and `nightloop worker`, restart them, and end them in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nightloop.flows.cli.cut_off import POOL, worker_name
from nightloop.flows.cli.login import login_directory
from nightloop.flows.cli.processes import MARK, child_processes, end_runs
from nightloop.flows.worker_directory import DIRECTORY
from nightloop.tasks.plan.settings import Settings

SIGNS_OF_LIFE = 30  # seconds between two heartbeats of a run: the least that Prefect allows
LIVED = 600.0  # seconds; the restart pause of a process that ran longer is reset
LONGEST_PAUSE = 60.0  # seconds
WORKER = "worker"  # the name of the process whose end may leave runs behind
PATIENCE = 20.0  # seconds that runs have to end and record it when `up` is stopped


@dataclass
class RestartedProcess:
    """A process that is restarted when it ends by itself. One without a name is not restarted."""

    name: str
    words: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] = field(init=False)
    pause: float = 1.0  # seconds until it is restarted; doubled each time that it ended soon
    due: float | None = None  # when it is restarted, by the monotonic clock
    began: float = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        self.process, self.began = _start(self.words, self.environment), time.monotonic()

    def restart_if_ended(self, now: float) -> bool:
        """Restart it some time after it ended. The others, and active runs, continue meanwhile.

        Returns whether this call noticed that it ended.
        """
        if not self.name or self.process.poll() is None:
            return False
        if self.due is None:
            self.pause = 1.0 if now - self.began > LIVED else min(2 * self.pause, LONGEST_PAUSE)
            self.due = now + self.pause
            code = self.process.returncode
            how = f"signal {-code}" if code < 0 else f"code {code}"
            sys.stderr.write(f"nightloop: the {self.name} ended ({how}); it is started again in {self.pause:.0f} s\n")
            return True
        if now >= self.due:
            self.due = None
            self.process, self.began = _start(self.words, self.environment), now
        return False


def start_worker(environment: Mapping[str, str], *options: str) -> RestartedProcess:
    """Prefect's worker of this home."""
    words = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", worker_name(), *options]
    return RestartedProcess(WORKER, words, environment)


def keep_running(
    servers: Sequence[RestartedProcess], processes: list[RestartedProcess], environment: Mapping[str, str]
) -> None:
    """Restart what ends by itself, for ever. If the worker ended, its runs go on, and lost ones are resumed."""
    while True:
        for process in (*servers, *processes):
            if process.restart_if_ended(time.monotonic()) and process.name == WORKER:
                words = ["nightloop.flows.cli.cut_off", "worker", *_orphan_arguments()]
                processes.append(RestartedProcess("", words, environment))
        time.sleep(0.5)


def end_processes(
    servers: Sequence[RestartedProcess], processes: Sequence[RestartedProcess], environment: Mapping[str, str]
) -> None:
    """End all processes: the runs first, while the server can record their last state, and the server last."""
    ended = end_runs(login_directory().parent, PATIENCE)
    for restarted in reversed(processes):
        _stop(restarted.process, {signal.SIGTERM: 5.0})
    ended |= end_runs(login_directory().parent, 0)  # runs that started meanwhile
    if ended:
        command = [sys.executable, "-P", "-m", "nightloop.flows.cli.cut_off", "ended", *sorted(ended)]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=dict(environment), timeout=PATIENCE)
    for restarted in servers:  # the server waits for open connections without a limit, until the second signal
        _stop(restarted.process, {signal.SIGTERM: 1.0, signal.SIGINT: 5.0})


def ignore_interrupts() -> None:
    """From now on, signals end nothing: a second Ctrl-C would leave child processes running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def worker_environment() -> dict[str, str]:
    """The environment of a worker and its runs: places are those of this machine, whatever the deployment says."""
    settings = Settings()
    variables = {
        "PREFECT_HOME": str(settings.home.resolve() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "nightloop",
        "PREFECT_LOGGING_LEVEL": "INFO",  # for the pages of runs; the verbs in a terminal log less
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "nightloop.flows.cli.short_errors.ShortErrors",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(SIGNS_OF_LIFE),
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # a click on Run starts within 2 s, not 10
        "NIGHTLOOP_PREFECT": "1",
        MARK: str(login_directory().parent),
        "NIGHTLOOP_HOME": str(settings.home.resolve()),
        "NIGHTLOOP_PLANS": str(settings.plans.resolve()),
        DIRECTORY: os.getcwd(),  # paths in plans are relative to it
        "PYTHONSAFEPATH": "1",  # so that a directory `flows` in the current directory is not imported
        "OMP_WAIT_POLICY": "PASSIVE",
        "DO_NOT_TRACK": "1",
    }
    return {**os.environ, **variables}


def _orphan_arguments() -> list[str]:
    """The time now, and the ids of the runs that continue although the worker that started them ended."""
    runs = {run for run in child_processes(login_directory().parent).values() if run}
    return [datetime.now(UTC).isoformat(), *sorted(runs)]


def _start(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", *words]
    return subprocess.Popen(command, env=dict(environment), start_new_session=True)


def _stop(process: subprocess.Popen[bytes], signals: Mapping[signal.Signals, float]) -> None:
    """End a process: send it each signal, and wait so many seconds; then kill it.

    SIGTERM comes first, because a process that still starts shows a traceback of SIGINT.
    """
    for number, patience in signals.items():
        if process.poll() is None:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
