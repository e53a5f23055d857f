"""A run that a command starts under Prefect: it ends when it is cancelled there, and is marked if its process dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nightloop.flows.cli.dead_runs import DEAD
from nightloop.tasks.terminal import LOOK, TAG
from tests.flows.run_cli import HOUSE
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("ui")
COMMAND = """
import sys, time
from nightloop.tasks.orchestration import flow

@flow("probe", lambda name, given: f"probe {given['label']}")
def probe(label: str) -> None:
    time.sleep(600)

try:
    probe(sys.argv[1])
except KeyboardInterrupt:
    sys.exit(130)
"""


@contextmanager
def command(server: Server, home: Path, label: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A command whose flow runs for ten minutes, and its run."""
    environment = {**os.environ, **server.environment, "NIGHTLOOP_HOME": str(home)}
    words = [sys.executable, "-c", COMMAND, label]
    with subprocess.Popen(words, cwd=HOUSE, env=environment, text=True, stderr=subprocess.PIPE) as process:
        try:
            yield process, running(server, f"probe {label}")
        finally:
            process.kill()


def running(server: Server, name: str) -> dict[str, Any]:
    """The run of this name, once it is running."""
    for _ in range(180):
        found = server.ask("/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
        if found and found[0]["state_type"] == "RUNNING":
            return dict(found[0])
        time.sleep(0.5)
    raise AssertionError(f"{name} does not run")


def test_cancel_ends_the_command_and_marks_its_run(nightloop_up: Server, tmp_path: Path) -> None:
    with command(nightloop_up, tmp_path, "cancelled") as (process, run):
        assert run["tags"] == [TAG] and run["deployment_id"] is None
        nightloop_up.ask(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        _, said = process.communicate(timeout=LOOK + 60)
    assert process.returncode == 130 and "this run was cancelled in Prefect" in said and "Traceback" not in said
    ended = nightloop_up.ended(run["id"])
    assert ended["state_type"] == "CANCELLED" and "run it again to resume" in ended["state"]["message"]


@pytest.mark.soak
def test_the_run_of_a_command_that_was_killed_is_marked(nightloop_up: Server, tmp_path: Path) -> None:
    with command(nightloop_up, tmp_path, "killed") as (process, run):
        time.sleep(5)  # the first heartbeat is sent
        process.kill()
        ended = nightloop_up.ended(run["id"], DEAD + 120)
    assert ended["state_type"] == "CRASHED" and "no heartbeat" in ended["state"]["message"]
