"""Connections of a real server: heads that are too large or never end, bodies and readers that are slow, too many clients."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("httptools")

from starlette.types import Receive, Scope, Send  # noqa: E402

from nightloop.tasks.http_service.connections import BoundedProtocol, ConnectionLimits  # noqa: E402

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\n"
QUICK = {"head_seconds": 0.3, "body_seconds": 0.3, "read_seconds": 0.3}


LARGE_BEGAN = threading.Event()  # that a request for /large was taken up: its task may end before anybody looks


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back how long the body is; /large so much that a client has to read it; /slow after a while."""
    if scope["type"] != "http":
        return
    size, more = 0, scope["method"] == "POST"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        if message["type"] == "http.disconnect":
            return
    if scope["path"] == "/large":
        LARGE_BEGAN.set()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    body = b"x" * 50_000_000 if scope["path"] == "/large" else str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(**limits: Any) -> Iterator[tuple[int, Any]]:
    """A server with these limits: its port, and the server."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        protocol: Any = partial(BoundedProtocol, ConnectionLimits(**limits))
        config = uvicorn.Config(app, log_config=None, access_log=False, http=protocol, ws="none", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], server
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def connected(port: int, data: bytes = b"") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), 5)
    line.sendall(data)
    return line


def everything(line: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    with suppress(ConnectionError):
        while data := line.recv(65_536):
            found += data
    return found


def answer(port: int, *parts: bytes) -> bytes:
    """What comes back to these bytes, sent one part after another, until the server closes the connection."""
    with connected(port) as line:
        with suppress(ConnectionError):
            for part in parts:
                line.sendall(part)
        return everything(line)


def is_open(line: socket.socket) -> bool:
    """Whether the server has left the connection open."""
    line.setblocking(False)
    try:
        return line.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        line.settimeout(5)


def wait_until(what: Callable[[], bool]) -> None:
    for _ in range(3000):  # on a busy machine
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("it never came about")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(head_bytes=8_192, headers=50) as (found, _):
        yield found


@pytest.mark.parametrize(
    "parts",
    [
        [GET, b"x: ", *[b"a" * 1_000] * 100],
        [GET, *[b"x: a\r\n"] * 2_000],
        [b"GET /", *[b"a" * 1_000] * 100],
        [GET + b"x: " + b"a" * 9_000 + b"\r\n\r\n"],
        [GET + b"x: a\r\n" * 60 + b"\r\n"],
        [b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"],
        [b"\r\n" * 500] * 100,
    ],
    ids=["a header", "headers", "a path", "a whole header", "whole headers", "a whole path", "empty lines"],
)
def test_a_head_that_is_too_large_is_refused(port: int, parts: list[bytes]) -> None:
    told = answer(port, *parts)
    assert told.startswith(b"HTTP/1.1 431 ") and b"at most 50 headers and 8,192 bytes" in told


def test_a_head_within_the_limits_is_answered(port: int) -> None:
    head = GET + b"x: " + b"a" * 7_000 + b"\r\n" + b"y: a\r\n" * 40 + b"connection: close\r\n\r\n"
    assert answer(port, head).startswith(b"HTTP/1.1 200 ")
    assert answer(port, *(head[n : n + 100] for n in range(0, len(head), 100))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("tail", [b"0\r\nx: ", b"0\r\nx: a\r\n", b"1;x="], ids=["trailer", "trailers", "extension"])
def test_what_follows_or_surrounds_a_body_is_bounded_too(port: int, tail: bytes) -> None:
    with (
        connected(port, POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + tail) as line,
        pytest.raises(ConnectionError),
    ):
        for _ in range(500):
            line.sendall(b"x: a\r\n" * 50 if tail.endswith(b"\n") else b"a" * 300)
            time.sleep(0.001)


def test_requests_that_wait_on_one_connection_are_bounded(port: int) -> None:
    """Sent without reading an answer, they were queued without end."""
    with connected(port) as line, pytest.raises(ConnectionError):
        for _ in range(200):
            line.sendall((b"GET /slow HTTP/1.1\r\nhost:a\r\n\r\n") * 500)
            time.sleep(0.005)
    assert answer(port, GET + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("many", [3, 200])  # within the bound, and beyond it
def test_a_client_that_leaves_while_requests_wait_causes_no_error(
    port: int, many: int, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(port, b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n" * many):
        time.sleep(0.2)
    time.sleep(0.8)  # until the first would be answered
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("size", [b"content-length: 44\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_request_with_a_body_that_asks_for_an_upgrade_is_refused(port: int, size: bytes) -> None:
    """Its body would be taken for the next request."""
    head = (
        POST + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n" + size + b"\r\n"
    )
    told = answer(port, head, GET + b"connection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 400 ") and b"upgrades are not supported" in told and told.count(b"HTTP/1.1") == 1


def test_bodies_and_requests_one_after_another_are_not_counted_as_heads(port: int) -> None:
    body = POST + b"content-length: 1000000\r\n\r\n" + b"a" * 1_000_000
    chunks = POST + b"transfer-encoding: chunked\r\n\r\n" + b"64\r\n" + b"a" * 100 + b"\r\n" + b"0\r\nx: a\r\n\r\n"
    told = answer(port, body + chunks + (GET + b"\r\n") * 60 + GET + b"connection: close\r\n\r\n")
    assert told.count(b"HTTP/1.1 200 ") == 63 and b"1000000" in told and b"\r\n\r\n100" in told


def test_a_head_or_a_body_that_does_not_come_is_not_waited_for() -> None:
    with serving(**QUICK) as (port, server):
        assert b"HTTP/1.1 408 " in answer(port, GET) and answer(port) == b""
        assert answer(port, POST + b"content-length: 10\r\n\r\nabc") == b""
        with connected(port, GET + b"x: ") as drips, pytest.raises(ConnectionError):
            for _ in range(100):
                time.sleep(0.03)
                drips.sendall(b"a")
        with connected(port, GET + b"content-length: 1000000\r\n\r\n") as unread:
            time.sleep(0.1)
            assert everything(unread).startswith(b"HTTP/1.1 200 ")  # the answer, and then the end
        wait_until(lambda: not server.server_state.connections)


def test_a_client_may_be_idle_and_an_answer_may_take_longer_than_a_head() -> None:
    with serving(**QUICK) as (port, _), connected(port) as line:
        for path in (b"/", b"/slow", b"/"):
            line.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.4)


def test_an_answer_that_is_not_read_is_given_up() -> None:
    LARGE_BEGAN.clear()
    with serving(**QUICK) as (port, server), connected(port, b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n"):
        assert LARGE_BEGAN.wait(30)
        wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)


@pytest.mark.parametrize(
    "sent",
    [b"", GET, POST + b"content-length: 9\r\n\r\na", GET + b"\r\n"],
    ids=["nothing", "half a head", "half a body", "idle"],
)
def test_of_too_many_connections_those_that_wait_longest_make_room(sent: bytes) -> None:
    with serving(connections=10) as (port, server):
        lines = [connected(port, sent) for _ in range(30)]
        wait_until(lambda: len(server.server_state.connections) <= 10)
        assert answer(port, GET + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert not any(is_open(line) for line in lines[:19] if sent != GET + b"\r\n")
        assert len(server.server_state.connections) <= 10
        for line in lines:
            line.close()


def test_where_all_are_being_answered_a_new_connection_is_refused_and_they_are_answered() -> None:
    with serving(connections=5) as (port, server):
        busy = [
            connected(port, b"GET /slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n") for _ in range(5)
        ]
        wait_until(lambda: len(server.server_state.tasks) == 5)
        assert answer(port, GET + b"\r\n") == b""
        assert all(everything(line).startswith(b"HTTP/1.1 200 ") for line in busy)
        assert answer(port, GET + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
