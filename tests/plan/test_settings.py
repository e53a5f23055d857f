"""Settings: a value that is not allowed is a sentence with the variable's name, and shows no credential."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.settings import Settings

WRONG = {
    "NIGHTLOOP_RUNNER": "threads",
    "NIGHTLOOP_STORE": "s3://key:hunter2@bucket/x",
    "NIGHTLOOP_CATALOG": "mysql:password=hunter2",
    "NIGHTLOOP_THREADS": "many",
    "NIGHTLOOP_LOGS_MEMORY": "big",
    "NIGHTLOOP_LEASE_SECONDS": "1",
    "NIGHTLOOP_PREFECT": "perhaps",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_setting_that_is_not_allowed_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, WRONG[name])
    with pytest.raises(PlanError) as raised:
        Settings()
    assert str(raised.value).startswith(f"{name}: ") and "hunter2" not in str(raised.value)


def test_every_mistake_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_RUNNER", "threads")
    monkeypatch.setenv("NIGHTLOOP_THREADS", "-1")
    with pytest.raises(PlanError, match=r"NIGHTLOOP_THREADS: .*; NIGHTLOOP_RUNNER: "):
        Settings()


@pytest.mark.parametrize("verb", ["status", "maintain", "night"])
def test_a_verb_tells_it_and_exits_with_two(verb: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nightloop", verb, "simulated"],
        env={"PATH": "/usr/bin:/bin", "NIGHTLOOP_HOME": str(tmp_path), "NIGHTLOOP_RUNNER": "threads"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "NIGHTLOOP_RUNNER: given 'threads'" in done.stderr
    assert "Traceback" not in done.stderr
