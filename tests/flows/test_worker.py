"""A worker joins only where it sees the store, the lake and the release that the deployments were made with."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from nightloop.flows.cli import worker as worker_module
from nightloop.flows.cli.processes import MARK, RUN, noted_runs, only_one
from nightloop.flows.cli.worker import check_worker, worker
from nightloop.flows.worker_directory import DIRECTORY, enter_worker_directory
from nightloop.tasks.objects.store_id import read_store_id
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.load import STORED
from nightloop.tasks.resources import open_store
from tests.flows.run_cli import HOUSE
from tests.flows.tiny_pipeline import make, plain, run
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("flows")


@pytest.fixture
def on_server(nightloop_up: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The session's server, and the home of its `nightloop up`."""
    for name, value in nightloop_up.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    return nightloop_up


def test_a_machine_that_sees_the_store_may_work(on_server: Server) -> None:
    assert f"of {on_server.url}/api, store {on_server.home}/store: " in (said := check_worker()) and "simulated" in said


def test_a_deployment_carries_the_plan_and_the_store_and_no_place_of_its_machine(on_server: Server) -> None:
    deployment = on_server.deployment("nightly")
    assert STORED.fullmatch(deployment["parameters"]["plan"])
    assert deployment["job_variables"]["env"]["NIGHTLOOP_STORE_ID"] == read_store_id(open_store())
    assert str(on_server.place) not in str(deployment) and str(HOUSE) not in str(deployment)


def test_a_machine_that_sees_another_store_is_refused_and_makes_none(
    on_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_store_id(open_store())
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    with pytest.raises(
        ConflictError, match=rf"deployed for the store with the id {wanted}, and .* has no id\. Set NIGHT"
    ):
        check_worker()
    assert not [*tmp_path.iterdir()]


def test_a_run_that_lands_on_a_machine_with_another_store_fails_in_a_sentence(
    on_server: Server, tmp_path: Path
) -> None:
    """As a plain `prefect worker` without nightloop's checks would run it."""
    deployment = on_server.deployment("maintain")
    own = {
        **os.environ,
        **deployment["job_variables"]["env"],
        "NIGHTLOOP_HOME": str(tmp_path),
        "NIGHTLOOP_PREFECT": "0",
    }
    words = [sys.executable, "-P", "-m", "nightloop", "maintain", deployment["parameters"]["plan"], "--dry-run"]
    done = subprocess.run(words, env=own, cwd=HOUSE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "it is another store. Nothing was changed" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_machine_with_another_release_is_refused(on_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "version", lambda name: "9.9")
    with pytest.raises(ConflictError, match=f"release {version('nightloop')} deployed, and this is 9.9: install that"):
        check_worker()


def test_a_machine_that_sees_another_lake_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(monkeypatch)
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(0, 1)
    run(tiny, 1)
    assert worker_module._other_lake("tiny") == []
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "home" / "store"))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "worker"))
    (words,) = worker_module._other_lake("tiny")
    assert (
        "has no logs of period 0 of tiny, which 2026-01-02 was trained on. Set NIGHTLOOP_STORE, NIGHTLOOP_DATA" in words
    )


def test_no_server_no_login_and_a_home_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")
    with pytest.raises(ConflictError, match=r"PREFECT_API_URL is not set.*PREFECT_API_AUTH_STRING"):
        worker()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        only_one("http://127.0.0.1:4200"),
        pytest.raises(ConflictError, match="`nightloop worker` runs already on the home"),
    ):
        worker()


def test_a_run_goes_to_the_directory_of_its_worker_and_is_noted_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (DIRECTORY, MARK, RUN):
        monkeypatch.delenv(name, raising=False)
    assert enter_worker_directory() == {}  # of a worker that nightloop did not start
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    monkeypatch.setenv(MARK, str(tmp_path / "home"))
    monkeypatch.setenv(RUN, "a-run")
    assert enter_worker_directory() == {"directory": str(tmp_path)}
    assert noted_runs(tmp_path / "home") == {"a-run"}
