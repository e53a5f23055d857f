"""Browsing: `nightloop up` as a user starts it, its API, and its run forms in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 90  # seconds, on a busy machine


def chromium() -> str | None:
    """Where a Chromium is installed, or None."""
    return next((at for name in ("chromium", "chromium-browser", "google-chrome") if (at := shutil.which(name))), None)


@dataclass(frozen=True)
class Server:
    """A `nightloop up` that runs."""

    url: str
    port: int
    home: Path
    process: subprocess.Popen[bytes]
    said: Path  # its output

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """An answer of the API: a POST where there is a body, else a GET.

        A 503 says that two transactions met in SQLite and this one did nothing: asked again, as Prefect's client asks.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api{path}", data, {"content-type": "application/json"})
        for pause in (1, 2, 4, 8):
            try:
                return _answered(request)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            time.sleep(pause)
        return _answered(request)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment, by the name that it shares with its flow."""
        return dict(self.ask(f"/deployments/name/{name}/{name}"))

    def ended(self, run: str) -> dict[str, Any]:
        """The run, once it has ended."""
        for _ in range(PATIENCE * 2):
            found = self.ask(f"/flow_runs/{run}")
            if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return dict(found)
            time.sleep(0.5)
        raise AssertionError(f"{found['name']} is still {found['state_name']}; {self.said.read_text()[-3000:]}")

    def start(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Start a deployment's run as the form does, and wait until it has ended."""
        made = self.ask(f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": dict(parameters)})
        return self.ended(made["id"])


def _answered(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """What a user types, and an environment that knows nothing of another Prefect."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_"))}
    words = [sys.executable, "-m", "flows", "up", "--port", str(port)]
    return words, {**clean, "NIGHTLOOP_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def running(home: Path) -> Iterator[Server]:
    """Everything up, on a free port; stopped as a supervisor would, and then really gone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words, environment = command(home / "home", port)
    said = home / "up.log"
    with said.open("wb") as out:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        _until_up(process, said)
        yield Server(f"http://127.0.0.1:{port}", port, home, process, said)
        children = _children(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        assert children and not [pid for pid in children if _alive(pid)], "stopping left processes behind"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


def _until_up(process: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(PATIENCE * 4):
        if b"nightloop is up" in said.read_bytes():
            return
        assert process.poll() is None, said.read_text()[-3000:]
        time.sleep(0.25)
    raise AssertionError(f"not up after {PATIENCE} s: {said.read_text()[-3000:]}")


def _children(pid: int) -> list[int]:
    found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in _children(child)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def browser(at: str, profile: Path) -> Iterator[Any]:
    """A page of a fresh Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        context = tool.chromium.launch_persistent_context(
            str(profile), executable_path=at, args=list(FLAGS), viewport={"width": 1280, "height": 1500}
        )
        context.set_default_timeout(PATIENCE * 1000)
        try:
            yield context.pages[0]
        finally:
            context.close()


def fill(page: Any, server: Server, name: str, texts: Mapping[str, str], switches: tuple[str, ...] = ()) -> str:
    """Fill a deployment's run form and submit it. Returns the id of the run that it made."""
    deployment = server.deployment(name)
    fields = deployment["parameter_openapi_schema"]["properties"]
    order = sorted(fields, key=lambda field: fields[field]["position"])
    areas = [f for f in order if fields[f].get("type") == "string" and "enum" not in fields[f]]
    toggles = [f for f in order if fields[f].get("type") == "boolean"]
    page.goto(f"{server.url}/deployments/deployment/{deployment['id']}/run")
    page.locator("textarea").nth(len(areas) - 1).wait_for()
    for field, text in texts.items():
        page.locator("textarea").nth(areas.index(field)).fill(text)
    for field in switches:
        switch = page.get_by_role("switch").nth(toggles.index(field))
        for _ in range(20):  # a form that is still being drawn loses a click
            switch.click()
            page.wait_for_timeout(500)
            if switch.is_checked():
                break
    said = ""
    for _ in range(3):  # on a busy machine Prefect's SQLite may be locked: the form stays, and is sent again
        with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as made:
            page.get_by_role("button", name="Submit").click()
        if made.value.ok:
            return str(made.value.json()["id"])
        said = made.value.text()
        page.wait_for_timeout(3000)
    raise AssertionError(f"{name} was not accepted: {said[:500]}")
