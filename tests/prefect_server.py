"""One Prefect server per test session: a `nightloop up` that the first test in need of it starts and all workers share.

Its address and login are fixed before any worker imports Prefect, and stand in the environment, with NIGHTLOOP_PREFECT=0:
flows run without Prefect, as a user's do. A test that wants Prefect sets that to 1. Only the process that collects the
results stops the server, when every worker is done.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from nightloop.flows.cli.login import login_of_up

ROOT = Path(__file__).parents[1]
PLACE = "TESTS_SERVER"  # environment variable: the directory of the session's server
PATIENCE = 180  # seconds, on a busy machine


@dataclass(frozen=True)
class Server:
    """The session's `nightloop up`."""

    url: str
    place: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def home(self) -> Path:
        """Its home directory."""
        return self.place / "home"

    @property
    def login(self) -> str:
        """The login, as an operator would read it."""
        return (self.home / "prefect" / "login").read_text().strip()

    @property
    def said(self) -> str:
        """Everything that it and its runs have printed."""
        return (self.place / "up.log").read_text()

    @property
    def pid(self) -> int:
        """Of `nightloop up` itself."""
        return int((self.place / "pid").read_text())

    @property
    def environment(self) -> dict[str, str]:
        """What tells a verb of it."""
        return {
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": self.login,
            "NIGHTLOOP_PREFECT": "1",
        }

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """An answer of the API to somebody who is logged in: by default a POST where there is a body, else a GET.

        A 503 says that two transactions met in SQLite and this one did nothing: asked again, as Prefect's client asks.
        """
        headers = {"authorization": basic(self.login), "content-type": "application/json"}
        if body is not None:
            headers |= {
                "prefect-csrf-client": "tests",
                "prefect-csrf-token": self.ask("/csrf-token?client=tests")["token"],
            }
        data = None if body is None else json.dumps(body).encode()
        for pause in (1, 2, 4, 8, 0):
            status, text = self.send(method or ("GET" if body is None else "POST"), path, headers, data)
            if status != 503:
                break
            time.sleep(pause)
        assert status in (200, 201, 204), (path, status, text[:500])
        return json.loads(text or "null")

    def send(self, method: str, path: str, headers: Mapping[str, str], data: bytes | None = None) -> tuple[int, str]:
        """Status and text of the API's answer to a request as it is, without a login of its own."""
        answer = send(f"{self.url}/api{path}", method, headers, data)
        return answer.status, answer.read().decode()

    def deployment(self, flow: str, pipeline: str = "simulated") -> dict[str, Any]:
        """The deployment of a flow for a pipeline."""
        return dict(self.ask(f"/deployments/name/{flow}/{pipeline}-{flow}"))

    def ended(self, run: str, patience: int = PATIENCE) -> dict[str, Any]:
        """The run, once it has ended."""
        for _ in range(patience * 2):
            found = self.ask(f"/flow_runs/{run}")
            if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return dict(found)
            time.sleep(0.5)
        raise AssertionError(f"{found['name']} is still {found['state_name']}; {self.said[-3000:]}")

    def start(self, name: str, parameters: Mapping[str, Any], patience: int = PATIENCE) -> dict[str, Any]:
        """Start a deployment's run as the form does, and wait until it has ended."""
        made = self.ask(f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": dict(parameters)})
        return self.ended(made["id"], patience)


def send(url: str, method: str, headers: Mapping[str, str], data: bytes | None = None) -> Any:
    """The answer to a request, whatever its status."""
    request = urllib.request.Request(url, data, dict(headers), method=method)
    try:
        return urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error


def basic(login: str) -> str:
    """The header that carries a login."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def reserve() -> socket.socket:
    """Fix the address and the login of the session's server. The port stays ours as long as the socket lives."""
    place = Path(tempfile.mkdtemp(prefix="nightloop-tests-"))
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # whoever listens there does so too
    held.bind(("127.0.0.1", 0))
    server = Server(f"http://127.0.0.1:{held.getsockname()[1]}", place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTLOOP_HOME", str(server.home))
        patch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
        login_of_up()
    os.environ.update({PLACE: str(place), **server.environment, "NIGHTLOOP_PREFECT": "0"})
    return held


def command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """What a user types, and an environment that knows nothing of another Prefect."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_"))}
    words = [sys.executable, "-m", "nightloop", "up", "--port", str(port)]
    return words, {**clean, "NIGHTLOOP_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="session")
def nightloop_up() -> Iterator[Server]:
    """The session's one `nightloop up`: server, deployments and worker."""
    place = Path(os.environ[PLACE])
    server = Server(os.environ["PREFECT_API_URL"].removesuffix("/api"), place)
    with FileLock(place / "lock"):
        if not (place / "pid").exists():
            words, environment = command(server.home, server.port)
            with (place / "up.log").open("wb") as out:
                process = subprocess.Popen(
                    words, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
                )
            _wait_until_up(process, server)
            (place / "pid").write_text(str(process.pid))
    yield server


def _wait_until_up(process: subprocess.Popen[bytes], server: Server) -> None:
    for _ in range(PATIENCE * 4):
        if "nightloop is up" in server.said:
            return
        assert process.poll() is None, server.said[-3000:]
        time.sleep(0.25)
    process.terminate()
    raise AssertionError(f"not up after {PATIENCE} s: {server.said[-3000:]}")


def stop() -> str:
    """Stop the session's server as a supervisor would. Returns what is wrong with how it ended; empty: nothing."""
    place = Path(os.environ[PLACE])
    wrong = ""
    if (place / "pid").exists():
        server = Server("", place)
        pid, below = server.pid, children(server.pid)
        if not below:
            wrong = "it had stopped before it was told to: "
        else:
            os.kill(pid, signal.SIGTERM)
            for _ in range(160):
                if not _alive(pid):
                    break
                time.sleep(0.25)
            left = [one for one in (pid, *below) if _alive(one)]
            wrong = f"stopping left the processes {left} behind: " if left else ""
            for one in left:
                os.kill(one, signal.SIGKILL)
            if list((server.home / "prefect").glob("address-*")):
                wrong += "the address is still there: "
        wrong = wrong and wrong + server.said[-3000:]
    shutil.rmtree(place, ignore_errors=True)
    return wrong


def children(pid: int) -> list[int]:
    """Every process below this one."""
    try:
        found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
