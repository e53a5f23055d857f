"""Limits: what is too large, too slow or too much at once is refused before it costs anything."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL = 65_536  # bytes of a body that are not counted


class BodyLimit:
    """ASGI middleware: 413 if a body is declared or turns out larger than `most` bytes; 408 if it takes
    more than `patience` seconds to come; 503 if `waiting` requests with a body are being answered already, or if
    bodies hold `memory` bytes, not counting the first `SMALL` bytes of each.

    A request counts from when its body has come, so that a slow sender blocks no other. Requests without a body, such
    as /health, are always let in.
    """

    def __init__(
        self, app: ASGIApp, most: int, waiting: int = 500, patience: float = 20.0, memory: int = 256_000_000
    ) -> None:
        self.app, self.most, self.waiting, self.patience, self.memory = app, most, waiting, patience, memory
        self._now = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting; the app behind never sees more than `most` bytes."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self.most:
            await self._too_large(send)
            return
        body = bytearray()
        try:
            if await self._read(body, receive, send):
                await self._answer(bytes(body), scope, receive, send)
        finally:
            self._held -= max(len(body) - SMALL, 0)

    async def _read(self, body: bytearray, receive: Receive, send: Send) -> bool:
        """Read the body; False if it was refused, or the client went away."""
        more = True
        try:
            async with asyncio.timeout(self.patience):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    before = max(len(body) - SMALL, 0)
                    body += message.get("body", b"")
                    self._held += max(len(body) - SMALL, 0) - before
                    more = message.get("more_body", False)
                    if len(body) > self.most:
                        await self._too_large(send)
                        return False
                    if self._held > self.memory and len(body) > SMALL:
                        await _refuse(send, 503, f"bodies hold {self.memory:,} bytes already; ask again in a second")
                        return False
        except TimeoutError:
            await _refuse(send, 408, f"the body did not come within {self.patience:g} seconds")
            return False
        return True

    async def _answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the body to the app, unless too many are being answered."""
        if self._now >= self.waiting:
            await _refuse(send, 503, f"{self.waiting} requests are waiting already; ask again in a second")
            return
        read = False

        async def receive_body() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        self._now += 1
        try:
            await self.app(scope, receive_body, send)
        finally:
            self._now -= 1

    async def _too_large(self, send: Send) -> None:
        await _refuse(send, 413, f"the body is larger than {self.most:,} bytes; send fewer rows a call")


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": status, "headers": headers[: 3 if status == 503 else 2]})
    await send({"type": "http.response.body", "body": json.dumps({"error": words}).encode()})
