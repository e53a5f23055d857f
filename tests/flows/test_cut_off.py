"""Worker, `up` or a run killed: runs go on or resume by themselves, nothing is left behind, one `up` holds a home."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import StateType, WorkerStatus
from prefect.states import Cancelling, Completed, Crashed, Pending, Running, State

from nightloop.flows.cli import cut_off, processes
from nightloop.flows.cli.cut_off import mark_ended_runs, resume_lost_runs, watch_orphaned_runs
from nightloop.flows.cli.processes import MARK, RUN, child_processes, end_all, end_runs, note_run, noted_runs, only_one
from nightloop.flows.cli.short_errors import ShortErrors
from nightloop.flows.cli.supervise import _start, _stop
from nightloop.flows.cli.up import _is_free, up
from nightloop.tasks.simulation.deliver import deliver
from tests.flows.tiny_pipeline import WORLD, raw_plan
from tests.prefect_server import Server

NOW = datetime.now(UTC)
pytestmark = [
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(
        not processes.can_list_processes(), reason="this system does not show the environment of processes"
    ),
]


class Client:
    """A server that knows these runs, and notes the states that they are given."""

    def __init__(self, *runs: SimpleNamespace) -> None:
        self.runs = {run.id: run for run in runs}
        self.workers = [
            SimpleNamespace(name=cut_off.worker_name(), status="ONLINE")
        ]  # this home's, before it was killed

    def read_flow_runs(self, flow_run_filter: Any, work_pool_filter: Any) -> list[SimpleNamespace]:
        """Those in a state that is asked for."""
        return [run for run in self.runs.values() if run.state.type in flow_run_filter.state.type.any_]

    def read_workers_for_work_pool(self, pool: str) -> list[SimpleNamespace]:
        """The workers of the pool."""
        return self.workers

    def read_flow_run(self, name: str) -> SimpleNamespace:
        """One of them."""
        return self.runs[name]

    def set_flow_run_state(self, name: str, state: State[Any], force: bool) -> None:
        """As the API does it without rules."""
        assert force
        self.runs[name].state = state


def known(name: str, state: State[Any], count: int = 1, age: float = 60.0) -> SimpleNamespace:
    """A run that has been in this state for so many seconds."""
    state.timestamp = NOW - timedelta(seconds=age)  # type: ignore[assignment]
    return SimpleNamespace(
        id=name, name=f"nightly {name} 2026-01-05", state=state, run_count=count, parameters={"plan": name}
    )


def test_runs_without_a_process_resume_and_those_being_cancelled_are_cancelled() -> None:
    client = Client(
        known("cut", Running()),
        known("not begun", Pending(), 0),
        known("cancelled", Cancelling()),
        known("again and again", Running(), cut_off.TRIES),
        known("alive", Running()),
        known("of the next worker", Pending(), 0, -1.0),
    )
    lines = resume_lost_runs(client, ["alive"], NOW)
    assert {name: run.state.type for name, run in client.runs.items()} == {
        "cut": StateType.SCHEDULED,
        "not begun": StateType.SCHEDULED,
        "cancelled": StateType.CANCELLED,
        "again and again": StateType.CRASHED,
        "alive": StateType.RUNNING,
        "of the next worker": StateType.PENDING,
    }
    assert len(lines) == 4 and all("what it finished is kept" in line for line in lines)
    assert resume_lost_runs(client, ["alive"], NOW) == []


def test_while_another_worker_is_alive_only_runs_that_this_home_started_are_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    monkeypatch.setenv(MARK, str(tmp_path.resolve()))
    for name in ("ours", "done long ago"):
        monkeypatch.setenv(RUN, name)
        note_run()
    client = Client(known("ours", Running()), known("theirs", Running()), known("whose", Pending(), 0))
    client.workers.append(SimpleNamespace(name="another-machine", status=WorkerStatus.ONLINE))
    assert len(resume_lost_runs(client, [], NOW)) == 1
    assert noted_runs(tmp_path.resolve()) == {"ours"}
    states = {name: run.state.type for name, run in client.runs.items()}
    assert states == {"ours": StateType.SCHEDULED, "theirs": StateType.RUNNING, "whose": StateType.PENDING}
    client.workers[-1].status = WorkerStatus.OFFLINE
    assert len(resume_lost_runs(client, [], NOW)) == 2


def test_the_end_names_the_runs_that_it_cut_off_and_how_they_resume() -> None:
    client = Client(known("shop", Crashed()), known("done", Completed()), known("cancelled", Cancelling()))
    (line,) = mark_ended_runs(client, ["shop", "done", "cancelled"])
    assert line.startswith("nightly shop 2026-01-05: it was cut off when `nightloop up` was stopped")
    assert "nightloop night shop --period 2026-01-05" in line
    states = {name: run.state for name, run in client.runs.items()}
    assert states["shop"].type == StateType.CRASHED and states["shop"].message in line
    assert (states["done"].type, states["cancelled"].type) == (StateType.COMPLETED, StateType.CANCELLED)


def test_one_home_has_one_up_and_the_second_says_where_the_first_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(tmp_path)))
    with only_one("http://127.0.0.1:4200"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(
            RuntimeError, match=rf"at http://127.0.0.1:4200, as process {os.getpid()}. Nothing was changed"
        ):
            up(4201, [str(tmp_path / "tiny.yaml")])
        assert sorted(tmp_path.rglob("*")) == before
    with only_one("http://127.0.0.1:4201"):
        pass  # what the first wrote is there, and it is gone


def test_an_error_of_prefects_own_is_one_line_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.Logger("prefect.server")
    log.addHandler(ShortErrors(stream=sys.stderr))
    try:
        raise OSError("database is locked\nINSERT INTO worker")
    except OSError:
        log.exception("the heartbeat of %s failed", "a worker")
    log.warning("no error")
    log.warning("Action failed: %r", "Failed to set state: Run is already in terminal state FAILED.")
    told = capsys.readouterr().err
    assert told.split("\n") == ["the heartbeat of a worker failed (OSError: database is locked)", "no error", ""]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Any]:
    """Starts processes of an `up` of the home `tmp_path`, which wait; they are gone afterwards."""
    begun: list[subprocess.Popen[str]] = []

    def start(run: str, code: str = "") -> subprocess.Popen[str]:
        words = [sys.executable, "-c", f"import signal, time\n{code}\nprint(1, flush=True)\ntime.sleep(600)"]
        environment = {**os.environ, MARK: str(tmp_path), **({RUN: run} if run else {})}
        one = subprocess.Popen(words, env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True)
        begun.append(one)
        assert one.stdout and one.stdout.readline()
        return one

    yield start
    for one in begun:
        one.kill()
        one.communicate()


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def test_the_end_leaves_no_run_behind_and_another_homes_alone(waiting: Any, tmp_path: Path) -> None:
    server, one, deaf = waiting(""), waiting("one"), waiting("two", DEAF)
    assert set(child_processes(tmp_path).values()) == {"", "one", "two"} and not child_processes(tmp_path / "other")
    assert end_runs(tmp_path, 60.0, frozenset({"one"})) == {"one"} and one.wait() == -signal.SIGTERM
    assert end_runs(tmp_path, 0.3) == {"two"} and deaf.wait() == -signal.SIGKILL
    assert server.poll() is None and end_runs(tmp_path, 0.0) == set()
    assert end_all(tmp_path) == 1 and server.wait() == -signal.SIGKILL and not child_processes(tmp_path)


def test_a_run_that_outlived_its_worker_can_be_cancelled(
    waiting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut_off, "login_directory", lambda: tmp_path / "prefect")
    monkeypatch.setattr(cut_off, "LOOK", 0.0)
    one, client = waiting("one"), Client(known("one", Cancelling()), known("gone", Running()))
    watch_orphaned_runs(client, ["one", "gone"])
    assert one.wait() == -signal.SIGTERM and client.runs["one"].state.type == StateType.CANCELLED


@pytest.mark.parametrize("both", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_night_whose_worker_is_killed_ends_as_if_nothing_had_happened(both: bool, nightloop_up: Server) -> None:
    """`both`: the run's own process is killed as well; the next worker resumes it. Else it goes on."""
    home, name = nightloop_up.place / f"killed-{both}", f"killed-{both}".lower()
    home.mkdir()
    plan = home / f"{name}.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(home, {"pipeline": name})))
    for day in range(3):
        deliver(WORLD, home / "in", day)
    where = f"/deployments/{nightloop_up.deployment('nightly')['id']}/create_flow_run"
    made = nightloop_up.ask(where, {"parameters": {"plan": str(plan), "period": "2026-01-03"}})["id"]
    engine = once(lambda: [pid for pid, run in child_processes(nightloop_up.home).items() if run == made])
    once(lambda: nightloop_up.ask(f"/flow_runs/{made}")["state_type"] == "RUNNING")
    os.kill(engine[0], signal.SIGSTOP)  # so that it does not end before its worker
    said = len(nightloop_up.said)
    os.kill(worker(nightloop_up.home), signal.SIGKILL)
    if both:
        os.kill(engine[0], signal.SIGKILL)
    once(lambda: "the worker ended (signal 9); it is started again" in nightloop_up.said[said:])
    if not both:
        os.kill(engine[0], signal.SIGCONT)
    ended = nightloop_up.ended(made)
    assert ended["state_type"] == "COMPLETED", nightloop_up.said[said:]
    assert (
        not both or ended["run_count"] == 2
    )  # else 1; on a busy machine the run was once started a second time as well
    once(lambda: "started!" in nightloop_up.said[said:])


def worker(home: Path) -> int:
    """The process of the worker."""
    return next(
        pid
        for pid, run in child_processes(home).items()
        if not run and b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def once(what: Any) -> Any:
    """What there is, once there is something."""
    for _ in range(600):
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("nothing within a minute")


def test_a_process_that_is_stopped_while_it_starts_shows_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["timeit", "-n", "1", "-s", "print('begun', flush=True)", "import time; time.sleep(60)"]
    process = _start(words, os.environ)
    once(lambda: "begun" in capfd.readouterr().out)
    _stop(process, {signal.SIGTERM: 5.0})
    assert process.returncode == -signal.SIGTERM and capfd.readouterr().err == ""


def test_the_port_of_a_server_that_was_just_killed_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not _is_free(port, 0.0)
        closing = threading.Timer(0.5, taken.close)
        closing.start()
        assert _is_free(port, 30.0)
