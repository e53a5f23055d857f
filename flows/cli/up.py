"""Up: a Prefect server with its UI, the deployments of one or more pipelines, and a worker, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nightloop.flows.cli.cut_off import POOL, worker_name
from nightloop.flows.cli.disk_space import require_space
from nightloop.flows.cli.login import (
    CLIENT_LOGIN,
    SERVER_LOGIN,
    announce_address,
    is_own_process,
    locked_api_settings,
    login_directory,
    login_of_up,
    login_path,
)
from nightloop.flows.cli.options import check_form
from nightloop.flows.cli.processes import MARK, child_processes, end_all, end_runs, only_one
from nightloop.flows.worker_directory import DIRECTORY
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.plan.settings import Settings

SIGNS_OF_LIFE = 30  # seconds between two heartbeats of a run: the least that Prefect allows
LIVED = 600.0  # seconds; the restart pause of a process that ran longer is reset
LONGEST_PAUSE = 60.0  # seconds
CLOSING = 10.0  # seconds that the port of a server that was killed may still be taken
LEAST_DISK = 10**8  # bytes; on a full disk Prefect's server ends with a traceback
WORKER = "worker"  # the name of the process whose end may leave runs behind
PATIENCE = 20.0  # seconds that runs have to end and record it when `up` is stopped


def up(port: int, plans: Sequence[str]) -> None:
    """Start all processes, and restart those that end by themselves, until Ctrl-C.

    Raises ConflictError if one of this home runs already, the port is taken or the server does not answer, StoreError if
    the disk is full.
    """
    plans = _drop_malformed(plans)  # mistakes are reported before anything starts
    require_space(LEAST_DISK, "Prefect's database needs room")
    url = f"http://127.0.0.1:{port}"
    with only_one(url):
        if left := end_all(login_directory().parent):
            sys.stderr.write(
                f"nightloop: an earlier `nightloop up` of this home was killed; ended the processes that it left ({left})\n"
            )
        if not _is_free(port, CLOSING if left else 0.0):
            raise ConflictError(f"port {port} is taken; give another one: nightloop up --port {port + 1}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
        _run_until_interrupt(url, port, plans)


def _run_until_interrupt(url: str, port: int, plans: Sequence[str]) -> None:
    """Run server, deployments and worker until Ctrl-C; then end the runs, the worker and the server, in this order."""
    environment = server_environment(url)
    servers: list[RestartedProcess] = []
    processes: list[RestartedProcess] = []
    announcement = ExitStack()
    try:
        servers.append(
            RestartedProcess(
                "server", ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)], environment
            )
        )
        _wait(url, servers[0].process)
        if not os.environ.get(SERVER_LOGIN):  # the verbs know only the login in the file
            announcement.enter_context(announce_address(url))
        deploy_plans(environment, plans)
        processes.append(start_worker(environment))
        processes.append(RestartedProcess("", ["nightloop.flows.cli.register"], environment))
        sys.stderr.write(greeting(url))
        keep_running(servers, processes, environment)
    except KeyboardInterrupt:
        sys.stderr.write("nightloop is shutting down\n")
    finally:
        ignore_interrupts()
        announcement.close()  # from now on the login is not sent to any server
        end_processes(servers, processes, environment)


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


def ignore_interrupts() -> None:
    """From now on, signals end nothing: a second Ctrl-C would leave child processes running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _orphan_arguments() -> list[str]:
    """The time now, and the ids of the runs that continue although the worker that started them ended."""
    return [
        datetime.now(UTC).isoformat(),
        *sorted({run for run in child_processes(login_directory().parent).values() if run}),
    ]


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


def _drop_malformed(plans: Sequence[str]) -> list[str]:
    """The plans that exist and are well-formed. The mistakes of the others are reported, and their pipelines are left out.

    Raises FileNotFoundError or PlanError if there is none.
    """
    good: list[str] = []
    wrong: list[Exception] = []
    for plan in plans:
        try:
            good.append(check_form(plan))
        except (FileNotFoundError, ValueError) as error:
            wrong.append(error)
    if wrong and not good:
        raise wrong[0]
    for one in wrong:
        sys.stderr.write(f"nightloop: this plan is left out, the others are used: {safe_text(str(one))}\n")
    return good


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
            how = (
                f"signal {-self.process.returncode}"
                if self.process.returncode < 0
                else f"code {self.process.returncode}"
            )
            sys.stderr.write(f"nightloop: the {self.name} ended ({how}); it is started again in {self.pause:.0f} s\n")
            return True
        if now >= self.due:
            self.due = None
            self.process, self.began = _start(self.words, self.environment), now
        return False


def greeting(url: str) -> str:
    """What to do next, and where the login is; never the login itself."""
    if os.environ.get(SERVER_LOGIN):
        where, value = f"with the text of {SERVER_LOGIN}", "the same text"
    else:
        where = f"with the text that `nightloop login --show` shows; it is kept in {login_path()}"
        value = f'"$(cat {shlex.quote(str(login_path()))})"'
    return (
        f"\nnightloop is up: {url}\n  log in there {where}\n"
        f"  trigger a backfill: {url}/deployments\n  from another terminal: export PREFECT_API_URL={url}/api\n"
        f"  other programs than nightloop also need: export {CLIENT_LOGIN}={value}\n  stop: Ctrl-C\n\n"
    )


def server_environment(url: str) -> dict[str, str]:
    """The environment of server, deployments and worker. All their files stay under the home directory."""
    return worker_environment() | {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_API_URL": "/api",  # of the UI's own origin, by whatever name the browser reaches it
        **locked_api_settings(login_of_up()),
    }


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


def deploy_plans(environment: Mapping[str, str], plans: Sequence[str]) -> None:
    """Register the deployments of these plans. Repeating it changes nothing."""
    command = [sys.executable, "-P", "-m", "nightloop.flows.cli.deploy", *plans]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    if done.returncode:
        raise ConflictError(f"nothing could be deployed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    sys.stderr.write(done.stderr)


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


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise ConflictError("the Prefect server stopped by itself; its last lines above say why")
        if _answers(url):
            if not is_own_process(int(url.rsplit(":", 1)[1])):
                raise ConflictError(f"another user's program answers at {url}; give another port with --port")
            return
        time.sleep(0.5)
    raise ConflictError(f"the Prefect server did not answer at {url} within two minutes")


def _is_free(port: int, patience: float) -> bool:
    """Whether nothing listens on a port, or no longer after so many seconds."""
    last = time.monotonic() + patience
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True
        if time.monotonic() >= last:
            return False
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
