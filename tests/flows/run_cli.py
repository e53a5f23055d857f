"""The console script as a user runs it: another process, its output read to the end."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nightloop.flows.cli.main as cli

HOUSE = Path(__file__).parents[2]


def said(environment: dict[str, str], *words: str, timeout: int = 280) -> subprocess.CompletedProcess[str]:
    """What `nightloop` says to these words, with these variables over the test's own."""
    command = [sys.executable, "-m", "nightloop", *words]
    own = {**os.environ, **environment, "COLUMNS": "200"}
    return subprocess.run(command, cwd=HOUSE, env=own, capture_output=True, text=True, timeout=timeout)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON document on stdout."""
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def here(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """The next `main()` in this process is called with these words, and has the log to itself."""
    monkeypatch.setattr(sys, "argv", ["nightloop", *words])
    monkeypatch.setattr(cli, "SURROUNDINGS", {})
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `nightloop` says on stderr to a mistake: exit code 2, nothing on stdout, no traceback."""
    here(monkeypatch, *words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 2 and not told.out and "Traceback" not in told.err
    return told.err
