"""Connections: how many there may be, how long each is waited for, and how large the head of a request may be.

uvicorn bounds none of these with httptools; with h11, which takes more time a request, the size of the head alone.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True)
class ConnectionLimits:
    """What the connections of one server share: their limits, and which of them wait for their client."""

    connections: int = 2_000
    head_bytes: int = 65_536  # of a request line with its headers; of trailers
    headers: int = 100  # of a request, trailers among them
    pipelined: int = 64  # requests of a connection that wait for the answer to the one before
    head_seconds: float = 10.0  # from the first byte to the end of the head; for a new connection, from its beginning
    body_seconds: float = 30.0
    read_seconds: float = 30.0  # for a client to read answers that fill the buffers
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)  # the one that has waited longest is first


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol, which closes connections that send or read too slowly, or send too large a head.

    If there are too many connections, the one that has waited longest for its client is closed to let the new one in,
    whether it is idle or has sent half a head or half a body. If none waits, the new one is refused.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits, self._sending, self._reading = limits, Timer(self.loop), Timer(self.loop)
        self._in_body = False  # of the message that is under way
        self._complete = True  # no message is under way
        self._advanced = False  # the newest bytes ended a head, or held some of a body
        self._bytes = 0  # that came since
        self._head_bytes = self._headers = 0  # of this message
        self._unanswered: deque[RequestResponseCycle] = deque()  # oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; if there are too many connections, close the one that has waited longest."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            longest = next(iter(self._limits.waiting), self)
            self._limits.waiting.pop(longest, None)
            longest.transport.abort()
        if not transport.is_closing():
            self._limits.waiting[self] = None
            self._sending.start(self._limits.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._sending.stop()
        self._reading.stop()
        self._limits.waiting.pop(self, None)
        for cycle in self._unanswered:  # uvicorn tells the newest alone, and uvloop raises if another one answers
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give bytes to the parser, and see how far it came."""
        self._advanced = self._complete = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._bytes = 0 if self._advanced else self._bytes + len(data)
        if self._bytes > self._limits.head_bytes:
            self._too_large()
        elif self._complete:
            self._sending.stop()
        else:
            seconds = self._limits.body_seconds if self._in_body else self._limits.head_seconds
            self._sending.start(seconds, self._too_slow)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed; a head that is too large also ends here."""
        if self.transport.is_closing():
            return
        if self._headers > self._limits.headers or self._head_bytes > self._limits.head_bytes:
            self._too_large()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Reset the counts."""
        self._complete, self._head_bytes, self._headers = False, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or a trailer. Raises DataError, which stops the parser, if there are too many."""
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        if self._headers > self._limits.headers or self._head_bytes > self._limits.head_bytes:
            raise DataError("the head of a request is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Wait for the body. Raises DataError, which stops the parser, if the request may not continue.

        The parser takes the body of a request that asks for an upgrade for the next request, and uvicorn reads on after
        each answer however many requests wait.
        """
        sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        if sized and self.parser.should_upgrade():
            self._refuse(400, "upgrades are not supported: send the request without the header Upgrade")
            raise DataError("an upgrade with a body")
        self._in_body = self._advanced = True
        self._sending.stop()
        super().on_headers_complete()
        self._unanswered.append(self.cycle)
        if len(self.pipeline) > self._limits.pipelined:
            self.transport.close()
            raise DataError("too many requests wait on one connection")

    def on_body(self, body: bytes) -> None:
        """Take bytes of a body; `BodyLimit` bounds them."""
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait no more: it is the client that waits."""
        self._in_body, self._complete = False, True
        if not self.cycle.response_complete:
            self._limits.waiting.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._unanswered.popleft()
        if not self.pipeline:
            self._limits.waiting[self] = None
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._reading.start(self._limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Wait no more: the client has read."""
        self._reading.stop()
        super().resume_writing()

    def _too_slow(self) -> None:
        if self._in_body or not self._bytes:
            self.transport.abort()
        else:
            self._refuse(408, f"the head of the request did not come within {self._limits.head_seconds:g} seconds")

    def _too_large(self) -> None:
        most = f"{self._limits.headers} headers and {self._limits.head_bytes:,} bytes"
        self._refuse(431, f"the head of the request is too large: at most {most} are allowed")

    def _refuse(self, status: int, words: str) -> None:
        """Close the connection; say why if no answer is under way."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": words}).encode()
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()


class Timer:
    """A delayed call, one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._call: asyncio.TimerHandle | None = None

    def start(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it after `seconds`, unless a call is already scheduled."""
        if self._call is None:
            self._call = self._loop.call_later(seconds, call)

    def stop(self) -> None:
        """Cancel the call."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
