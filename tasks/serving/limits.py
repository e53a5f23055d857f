"""Limits: what is too large, too slow or too much at once is refused before it costs anything."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Limit:
    """ASGI middleware: 413 where a body says it is larger than `most` bytes, or turns out to be; 408 where it takes
    more than `patience` seconds to come; 503 where `waiting` requests with a body are being worked on already.

    Requests are counted, not connections: a pool of clients keeps many that ask nothing. Those without a body, such as
    /health, are always let in.
    """

    def __init__(self, app: ASGIApp, most: int, waiting: int = 500, patience: float = 30.0) -> None:
        self.app, self.most, self.waiting, self.patience = app, most, waiting, patience
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting; the app behind never sees more than `most` bytes."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"")
        if said.isdigit() and int(said) > self.most:
            await self._too_large(send)
        elif self._now >= self.waiting:
            await _refuse(send, 503, f"{self.waiting} requests are waiting already; ask again in a second")
        else:
            self._now += 1
            try:
                await self._passed_on(scope, receive, send)
            finally:
                self._now -= 1

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and hand it to the app."""
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self.patience):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.most:
                        await self._too_large(send)
                        return
        except TimeoutError:
            await _refuse(send, 408, f"the body did not come within {self.patience:g} seconds")
            return
        read = False

        async def replayed() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, replayed, send)

    async def _too_large(self, send: Send) -> None:
        await _refuse(send, 413, f"the body is larger than {self.most:,} bytes; send fewer rows a call")


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": status, "headers": headers[: 3 if status == 503 else 2]})
    await send({"type": "http.response.body", "body": json.dumps({"error": words}).encode()})
