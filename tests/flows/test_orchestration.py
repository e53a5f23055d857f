"""Flows with Prefect and without: the same bytes, and a Prefect that is lost stops nothing."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

import nightloop.flows.nightly
import nightloop.tasks.score
from nightloop.flows import deployments
from nightloop.flows.nightly import nightly
from nightloop.flows.promote import promote
from nightloop.flows.side_by_side import side_by_side
from nightloop.tasks import orchestration
from nightloop.tasks.orchestration import Run, failed, flow, run, task
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.settings import Settings
from tests.flows.tiny_pipeline import Tiny, begin
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("flows")
NAMED = "nightly tiny 2026-01-04"


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Nights 1 and 2 are done, two more are closed."""
    return fresh(tmp_path_factory, monkeypatch)


def fresh(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    with pytest.MonkeyPatch.context() as plainly:
        found = begin(factory, plainly, 1, 2)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(found.home / "home"))
    monkeypatch.setattr(
        nightloop.flows.nightly, "scheduled_time", lambda: datetime.fromisoformat("2026-01-06T02:00:00+00:00")
    )
    return found


@pytest.mark.parametrize(
    ("given", "url", "used"),
    [(None, "", False), (None, "http://127.0.0.1:4200/api", True), ("0", "http://x/api", False), ("1", "", True)],
)
def test_prefect_is_used_where_its_address_is_given_or_somebody_says_so(
    given: str | None, url: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.delenv("NIGHTLOOP_PREFECT")
    if given is not None:
        monkeypatch.setenv("NIGHTLOOP_PREFECT", given)
    assert Settings().uses_prefect is used


def test_a_night_has_the_same_bytes_with_prefect_and_without_and_prefect_shows_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, nightloop_up: Server
) -> None:
    def recorded() -> tuple[list[str], dict[str, bytes]]:
        tiny = fresh(tmp_path_factory, monkeypatch)
        told = nightly(str(tiny.path), "2026-01-04")
        tiny.deliver(4, bad=True)
        with pytest.raises(RuntimeError, match=r"2026-01-05 of tiny was stopped by validation.*--accept.*--skip"):
            nightly(str(tiny.path), "2026-01-05")
        return told, {key: value for key, value in tiny.record().items() if "/log/" not in key}  # which tells the time

    plainly = recorded()
    monkeypatch.setenv("NIGHTLOOP_PREFECT", "1")
    assert recorded() == plainly
    states = {name: state for name, state in runs() if name in (NAMED, "nightly tiny 2026-01-05")}
    assert states == {NAMED: "Completed", "nightly tiny 2026-01-05": "Failed"}
    with get_client(sync_client=True) as client:
        keys = {a.key for a in client.read_latest_artifacts()}
    assert {"tiny-validation", "tiny-verdict", "tiny-grid", "tiny-leaderboard"} <= keys


def runs() -> list[tuple[str, str]]:
    """Name and state of the runs that Prefect knows, oldest first."""
    named = FlowRunFilter(name=FlowRunFilterName(like_="nightly tiny"))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=named)
    return [(one.name, one.state.name if one.state else "") for one in found]


def test_a_server_that_is_not_there_stops_no_night(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NIGHTLOOP_PREFECT", "1")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert nightly(str(tiny.path), "2026-01-04")[0].startswith("2026-01-04")
    assert sorted(tiny.chain()) == [1, 2, 3] and "Prefect's API is lost" in caplog.text


@pytest.mark.parametrize("step", [pytest.param("score", marks=pytest.mark.soak), "publish"])
def test_a_server_that_goes_in_the_middle_of_a_night_stops_nothing(
    step: str, tiny: Tiny, nightloop_up: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NIGHTLOOP_PREFECT", "1")
    # Prefect sets the root logger's handlers when its first flow begins, which may be this one: caplog's would be gone.
    logger = logging.getLogger("nightloop.tasks.orchestration")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])
    place = nightloop.tasks.score if step == "score" else nightloop.flows.nightly
    real = getattr(place, step)
    with between(nightloop_up.port) as (port, cut):

        def after(*given: Any) -> Any:
            cut()
            return real(*given)

        monkeypatch.setattr(place, step, after)
        url = f"http://127.0.0.1:{port}/api"
        with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            assert nightly(str(tiny.path), "2026-01-04")[0].startswith("2026-01-04")
    assert sorted(tiny.chain()) == [1, 2, 3] and "the store keeps" in caplog.text


@contextmanager
def between(port: int) -> Iterator[tuple[int, Any]]:
    """A way to the server that can be cut: its port, and what cuts it."""
    listening = socket.create_server(("127.0.0.1", 0))
    pairs: list[socket.socket] = []

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            pairs.extend((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()

    def cut() -> None:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in pairs:
            with closing(one), suppress(OSError):  # one end may have gone by itself
                one.shutdown(socket.SHUT_RDWR)
        pairs.clear()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1], cut
    finally:
        listening.close()


def test_a_task_is_tried_again_where_that_is_worth_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(orchestration.time, "sleep", slept.append)
    errors: list[Exception] = [OSError("away"), OSError("away again")]

    @task("read {what}", pauses=(1.0, 5.0), worth=lambda error: isinstance(error, OSError))
    def read(what: str) -> str:
        if errors:
            raise errors.pop(0)
        return f"{what} is here"

    assert read("the file") == "the file is here" and slept == [1.0, 5.0]
    assert "read the file: tried again in 5 s: away again" in caplog.text
    errors[:] = [ValueError("broken")]
    with pytest.raises(ValueError, match="broken"):
        read("the file")
    errors[:] = [OSError("1"), OSError("2"), OSError("3")]
    with pytest.raises(OSError, match="3"):
        read("the file")


def test_an_error_of_a_task_carries_no_credential() -> None:
    @task("connect")
    def connect() -> None:
        raise OSError("postgresql://u:hunter2@h/d is away")

    with pytest.raises(OSError, match="is away") as told:
        connect()
    assert "hunter2" not in str(told.value)


def test_parameters_are_checked_and_converted_as_a_form_does() -> None:
    @flow("count", lambda name, given: name)
    def count(names: tuple[str, ...] = (), most: int = 3) -> tuple[tuple[str, ...], int, Run]:
        return names, most, run()

    names, most, mine = count(["a", "b"], "4")  # type: ignore[arg-type]
    assert (names, most) == (("a", "b"), 4) and not mine.prefect and mine.scheduled is None
    assert count()[2].id != mine.id, "every run has an id of its own"
    with pytest.raises(ValueError, match=r"count: most: Input should be a valid integer"):
        count((), "many")  # type: ignore[arg-type]


def test_a_text_that_is_not_utf8_never_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one such text in its database the server answered no worker any more, and showed no run."""
    monkeypatch.setenv("NIGHTLOOP_PREFECT", "1")
    with pytest.raises(PlanError, match=r"promote: a text is not UTF-8, after '.*caf'"):
        promote("simulated", reason=os.fsdecode(b"caf\xe9"))


@pytest.mark.parametrize(
    ("flow", "wrong"),
    [
        ("promote", {"reason": "\ud800"}),
        ("tune", {"strategies": ["a", "\udfff"]}),
        ("tune", {"space": {"a": {"b": {"\ud83d": 1}}}}),
        ("bakeoff", {"tune": {"a": {"b": ["\ude00"]}}}),
        ("bakeoff", {"runner": "ray://\ud800"}),
    ],
)
def test_a_form_refuses_half_of_a_character(flow: str, wrong: dict[str, Any]) -> None:
    schema = parameter_schema(getattr(deployments, flow)).model_dump()
    right = {"reason": "sold out \U0001f600", "tune": {"a": {"b": [0.1]}}, "space": {"a": {"b": {"low": 1}}}}
    assert validate(right, schema) == []
    with pytest.raises(ValidationError, match=r"does not match|not valid under any"):
        validate(wrong, schema, raise_on_error=True)


def test_a_flow_that_ends_as_failed_raises_its_message() -> None:
    @flow("stop", lambda name, given: name)
    def stop() -> str:
        done: str = failed("stopped by validation")
        return done

    with pytest.raises(RuntimeError, match="stopped by validation"):
        stop()


def test_side_by_side_keeps_the_order_and_begins_nothing_after_an_error() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("the second")
        time.sleep(0.01)
        return -number

    assert side_by_side(work, [1, 3, 4], 2) == [-1, -3, -4]
    begun.clear()
    with pytest.raises(ValueError, match="the second"):
        side_by_side(work, [2, *range(3, 200)], 1)
    assert len(begun) < 100
