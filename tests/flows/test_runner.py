"""Runners: the same bytes in one process, in several and on a cluster; workers that die, differ or do not answer."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import warnings
from concurrent.futures import BrokenExecutor, CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import pytest

import nightloop.flows.backfill
import nightloop.flows.nightly
from nightloop.flows.backfill import backfill
from nightloop.flows.bakeoff import local_dask
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks import collect, runner
from nightloop.tasks.clusters import dask
from nightloop.tasks.clusters.work import Identity
from nightloop.tasks.lake.catalog_marks import catalog_identity
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.load_logs import logs_of
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.open_night import open_night
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.runner import compute, measured, open_runner, workers_for
from tests.flows.tiny_pipeline import Tiny, make, plain, raw_plan, run

FINE_TUNE = {"use": "FineTune", "options": {"training": {"epochs": 1}}}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Four strategies, of which one trains another of the plan."""
    plain(monkeypatch)
    averaged = {"averaged": {"use": "AverageWeights", "options": {"learner": FINE_TUNE}}}
    made = make(tmp_path, monkeypatch, {"strategies": {**raw_plan(tmp_path)["strategies"], **averaged}})
    made.deliver(*range(4))
    return made


def nights(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, given: str) -> dict[str, bytes]:
    """What two nights record under a runner, in a new home."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tiny.home / given.partition(":")[0]))
    with open_runner(given):
        run(tiny, 1, 2)
    return tiny.record()


def test_processes_and_a_dask_cluster_give_the_bytes_of_one_process(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    alone = nights(tiny, monkeypatch, "sequential")
    assert nights(tiny, monkeypatch, "processes:2") == alone
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tiny.home / "dask"))  # the workers inherit it
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        assert nights(tiny, monkeypatch, f"dask:{cluster.scheduler_address}") == alone


def die_once(marker: Path) -> int:
    """End this process with SIGKILL, the first time."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die() -> None:
    """End this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_replaced_once(tmp_path: Path) -> None:
    with open_runner("processes:1"):
        assert compute(die_once, tmp_path / "died") != os.getpid()
        with pytest.raises(BrokenExecutor):
            compute(die)


class TwoArguments(Exception):
    """An error that a pickle cannot restore: it is made of two arguments, and keeps one."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


def raise_two_arguments() -> None:
    raise TwoArguments("no rows", "night 3")


def test_an_error_that_cannot_be_sent_is_told_in_its_words() -> None:
    with open_runner("processes:1"), pytest.raises(RuntimeError, match="TwoArguments: no rows at night 3") as raised:
        compute(raise_two_arguments)
    assert not isinstance(raised.value, BrokenExecutor)  # which says that the worker died


def test_a_dask_cluster_that_loses_its_workers_or_its_scheduler_fails_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(dask, "NO_WORKERS", 1)
    monkeypatch.setattr(dask, "LOOK", 0.2)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        opened = runner.open_cluster(f"dask:{cluster.scheduler_address}")
        assert opened.call(os.getpid) != os.getpid()
        cluster.scale(0)
        with pytest.raises(BrokenExecutor, match="has had no worker for 1 seconds"):
            opened.call(os.getpid)
        with ThreadPoolExecutor(1) as pool:
            monkeypatch.setattr(dask, "NO_WORKERS", 60)
            waiting = pool.submit(opened.call, os.getpid)
            cluster.close()
            with pytest.raises(BrokenExecutor, match="ended, or cancelled the work"):
                waiting.result()
        opened.close()


def begin_long_work(begun: Path) -> None:
    """Say that the work began, and go on for minutes."""
    with begun.open("a") as file:
        file.write("x")
    runner.time.sleep(300)


def test_work_that_was_stopped_is_not_made_again(tmp_path: Path) -> None:
    """Ctrl-C and the limit of a night close the runner, while threads wait for its processes."""
    begun = tmp_path / "begun"
    with ThreadPoolExecutor(1) as pool:
        with open_runner("processes:1"):
            waiting = pool.submit(copy_context().run, compute, begin_long_work, begun)
            while not begun.exists():
                runner.time.sleep(0.05)
        with pytest.raises(CancelledError):
            waiting.result(60)
    assert begun.read_text() == "x"


def test_the_processes_end_with_the_run() -> None:
    with open_runner("processes:2"):
        workers = set(side_by_side(lambda _: compute(os.getpid), range(4), 2))
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            for _ in range(200):
                os.kill(worker, 0)
                runner.time.sleep(0.05)


def leak() -> None:
    """Log, warn of and raise a text with a credential and a control character."""
    text = "postgres://u:hunter2hunter@h/x \x1b]0;title\x07"
    logging.getLogger("some.library").warning("%s", text)
    warnings.warn(text, stacklevel=1)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
        raise


def test_what_a_worker_says_is_masked(capfd: pytest.CaptureFixture[str]) -> None:
    with open_runner("processes:1"), pytest.raises(ValueError, match=r"\*\*\*@h/x") as raised:
        compute(leak)
    said = capfd.readouterr().err + str(raised.value)
    assert said.count("***@h/x") >= 4 and "hunter2" not in said
    assert "\x1b" not in said.removesuffix(str(raised.value)) and "\\x1b]0;title" in said


def test_a_local_dask_cluster_answers_only_its_own_run() -> None:
    with local_dask(1) as (address, security):
        cluster = runner.open_cluster(address, security)
        assert cluster.call(os.getpid) != os.getpid()
        stranger = ssl.create_default_context()
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE  # it trusts anyone, and has no certificate
        assert greeting(address, None) == greeting(address, stranger) == b""
        assert listening_everywhere() == []
        cluster.close()


def greeting(address: str, context: ssl.SSLContext | None) -> bytes:
    """What a scheduler sends to whoever connects; it says first what it is."""
    host, _, port = address.rpartition("/")[2].partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as plain:
        plain.sendall(b"" if context else bytes(64))
        with context.wrap_socket(plain) if context else nullcontext(plain) as end:
            return end.recv(1)
    return b""


def listening_everywhere() -> list[str]:
    """The ports on which this process listens on all addresses."""
    mine = {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}  # none without /proc
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        row[1] for row in rows if row[1].startswith("00000000:") and row[3] == "0A" and f"socket:[{row[9]}]" in mine
    ]


def test_an_error_of_a_worker_is_the_error_of_the_call() -> None:
    with open_runner("processes:1"), pytest.raises(PlanError, match="base 10") as raised:
        compute(refuse, "x")
    assert type(raised.value) is PlanError


def refuse(text: str) -> None:
    """Raise our own error."""
    raise PlanError(f"{text} is not a number of base 10")


def test_a_worker_of_another_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_runner("processes:1"):
        compute(os.getpid)  # the process has begun, with the settings of now
        monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "other"))
        with pytest.raises(
            ConflictError, match=r"a worker has the store '.*' instead of '.*other \(id none\)'.*Nothing was written"
        ):
            compute(os.getpid)


def test_versions_that_differ_are_named() -> None:
    ours, theirs = Identity("1", "2.13", "s3://a", "s3://b"), Identity("2", "2.13", "s3://a", "s3://c")
    assert ours.difference(theirs) == "nightloop '2' instead of '1', the lake's data 's3://c' instead of 's3://b'"
    assert ours.difference(ours) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("dask:tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ("dask:tls://127.0.0.1:9", "no Dask scheduler answers at tls://127.0.0.1:9: TLS expects"),
        ("ray://127.0.0.1:9", "Ray|needs ray"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told_in_a_sentence(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "PATIENCE", 1)
    with pytest.raises(PlanError, match=said), open_runner(given):
        pass


def test_a_server_that_says_nothing_is_no_dask_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "PATIENCE", 1)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as silent:  # the connection is taken, as by another service or a firewall
        at = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(PlanError, match=f"no Dask scheduler answers at {at}: a server there took"),
            open_runner(f"dask:{at}"),
        ):
            pass


@pytest.mark.parametrize(
    "given", ["processes", "processes:0", "threads:2", "dask:", "ray:", "auto:2", "dask:tcp://me:hunter2@h:1"]
)
def test_what_is_no_runner_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_RUNNER", given)
    with pytest.raises(ValueError, match="allowed are auto, sequential, processes:2"):
        Settings()


def test_auto_takes_processes_only_for_long_work_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_main_can_be_imported", lambda: True)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 4)
    for seconds, processors, workers in ((30.0, 1.0, 3), (30.0, 1.9, 1), (5.0, 1.0, 1)):
        with open_runner("auto"):
            with measured(3):
                pass  # takes no time
            assert workers_for(3) == 1
            runner._RUNNER.get().decide(seconds, processors)  # type: ignore[union-attr]
            assert workers_for(3) == workers
    monkeypatch.setattr(runner, "_main_can_be_imported", lambda: False)
    with open_runner("auto"):
        runner._RUNNER.get().decide(30.0, 1.0)  # type: ignore[union-attr]
        assert workers_for(3) == 1, "a script without a main guard cannot be imported again"


def test_periods_are_collected_side_by_side_if_several_may_write_the_lake(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A period that is not there yet stops the backfill in its turn, after the nights before it."""
    plain(monkeypatch)
    tiny = make(tmp_path, monkeypatch, {"pipeline": "beside"})
    tiny.deliver(*range(4))
    backfill(str(tiny.path), end=tiny.name(3))
    alone = tiny.record()
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "two"))
    monkeypatch.setenv("NIGHTLOOP_CATALOG", postgres)
    monkeypatch.setenv("NIGHTLOOP_RUNNER", "processes:2")
    last = tmp_path / "in" / f"{tiny.name(3)}.parquet"
    away = last.rename(last.with_suffix(".away"))
    here: list[int] = []
    limits: list[int] = []
    land = collect.collect_period

    def note(warehouse: Warehouse, source: Source, plan: Plan, at: Period) -> Landing:
        here.append(at.index)
        return land(warehouse, source, plan, at)

    def collect_or_die(plan: Plan, index: int, on_worker: str = "") -> Landing:
        if on_worker and index == 0:
            raise BrokenExecutor("a worker took too much memory")
        return collect.collect(plan, index, on_worker)

    def limit(plan: Plan, name: str, nights: int = 1) -> AbstractContextManager[None]:
        limits.append(nights)
        return nullcontext()

    monkeypatch.setattr(collect, "collect_period", note)  # in this process alone
    monkeypatch.setattr(nightloop.flows.backfill, "limit_night", limit)
    with monkeypatch.context() as patch, pytest.raises(FileNotFoundError):
        patch.setattr(nightloop.flows.backfill, "collect", collect_or_die)
        patch.setattr(nightloop.flows.nightly, "collect", collect_or_die)
        backfill(str(tiny.path), end=tiny.name(3))
    assert limits == [3, 1, 1, 1], "side by side all nights are collected, and may take as long as all of them"
    assert here == [0, 3] and "is collected again in its turn" in caplog.text
    assert sorted(tiny.chain()) == [1, 2] and tiny.record().items() <= alone.items()
    away.rename(last)
    backfill(str(tiny.path), end=tiny.name(3))
    assert here == [0, 3, 3] and tiny.record() == alone  # a single period needs no worker


def test_a_worker_collects_only_what_it_sees_and_only_for_the_catalog_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not give an older delivery for one that only the run can see."""
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(2)
    with open_lake(tiny.plan) as lake:
        catalog = catalog_identity(lake)
    landed = collect.collect(tiny.plan, 2)
    assert collect.collect(tiny.plan, 2, catalog) == replace(landed, fresh=False)
    (tmp_path / "in" / f"{tiny.name(2)}.parquet").unlink()
    assert collect.collect(tiny.plan, 2) == replace(landed, fresh=False)
    with pytest.raises(FileNotFoundError):
        collect.collect(tiny.plan, 2, catalog)
    with pytest.raises(ConflictError, match=r"a worker has another catalog.*Nothing was written"):
        collect.collect(tiny.plan, 2, "that of another machine")


def test_a_worker_with_another_catalog_trains_on_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have as many rows under the same number, and they are others."""
    tiny = make(tmp_path, monkeypatch)
    tiny.deliver(*range(2))
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "store"))
    with open_lake(tiny.plan) as lake:
        night = open_night(open_store(), lake, tiny.plan, nightloop.flows.nightly.collect_all(tiny.plan, 1))
        assert isinstance(night, Night) and len(logs_of(open_store(), lake, night, night.logs))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "other"))
    with open_lake(tiny.plan) as lake:
        nightloop.flows.nightly.collect_all(tiny.plan, 1)
        with pytest.raises(ConflictError, match=r"a worker has another catalog.*Nothing was written"):
            logs_of(open_store(), lake, night, night.logs)
