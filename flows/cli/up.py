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
from nightloop.flows.cli.processes import end_all, only_one
from nightloop.flows.cli.supervise import (
    RestartedProcess,
    end_processes,
    ignore_interrupts,
    keep_running,
    start_worker,
    worker_environment,
)
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.safe_text import safe_text

CLOSING = 10.0  # seconds that the port of a server that was killed may still be taken
LEAST_DISK = 10**8  # bytes; on a full disk Prefect's server ends with a traceback


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
        words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        servers.append(RestartedProcess("server", words, environment))
        _wait(url, servers[0].process)
        if not os.environ.get(SERVER_LOGIN):  # the verbs know only the login in the file
            announcement.enter_context(announce_address(url))
        deploy_plans(environment, plans)
        processes.append(start_worker(environment))
        processes.append(RestartedProcess("", ["nightloop.flows.publish"], environment))
        sys.stderr.write(greeting(url))
        keep_running(servers, processes, environment)
    except KeyboardInterrupt:
        sys.stderr.write("nightloop is shutting down\n")
    finally:
        ignore_interrupts()
        announcement.close()  # from now on the login is not sent to any server
        end_processes(servers, processes, environment)


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


def deploy_plans(environment: Mapping[str, str], plans: Sequence[str]) -> None:
    """Register the deployments of these plans. Repeating it changes nothing."""
    command = [sys.executable, "-P", "-m", "nightloop.flows.cli.deploy", *plans]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    if done.returncode:
        raise ConflictError(f"nothing could be deployed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    sys.stderr.write(done.stderr)


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
