"""Limits: bodies that are too large or too slow, and too many requests at once, are refused in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

pytest.importorskip("starlette")

from starlette.types import Message, Receive, Scope, Send

from nightloop.tasks.http_service.limits import BodyLimit


async def asked(limit: BodyLimit, parts: Sequence[Message | float], method: str = "POST") -> tuple[int, dict[str, str]]:
    """Status and answer of a request whose body comes in these parts, with pauses of so many seconds."""
    waiting, sent = list(parts), list[Message]()

    async def receive() -> Message:
        while waiting:
            part = waiting.pop(0)
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                return part
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await limit({"type": "http", "method": method, "path": "/score", "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def app(gate: asyncio.Event) -> object:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"" if scope["method"] == "GET" else (await receive())["body"]
        if body == b"slow":
            await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps({"got": body.decode()}).encode()})

    return answers


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def ask() -> None:
        limit = BodyLimit(app(asyncio.Event()), 100, patience=0.1)  # type: ignore[arg-type]
        assert await asked(limit, [part(b"he", True), 0.01, part(b"llo")]) == (200, {"got": "hello"})
        status, told = await asked(limit, [part(b"he", True), 5.0, part(b"llo")])
        assert status == 408 and "within 0.1 seconds" in told["error"]
        status, told = await asked(limit, [part(b"x" * 60, True), part(b"x" * 60)])
        assert status == 413 and "larger than 100 bytes" in told["error"]

    asyncio.run(ask())


def test_slow_bodies_take_nobodys_place() -> None:
    async def ask() -> None:
        limit = BodyLimit(app(asyncio.Event()), 100, waiting=2, patience=1)  # type: ignore[arg-type]
        slow = [asyncio.create_task(asked(limit, [part(b"q", True), 0.1, part(b"q")])) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert (await asked(limit, [part(b"quick")]))[0] == 200
        assert {status for status, _ in await asyncio.gather(*slow)} == {200}  # they are answered one after another

    asyncio.run(ask())


def test_bodies_hold_no_more_than_a_given_memory_and_small_ones_are_let_in() -> None:
    async def ask() -> None:
        limit = BodyLimit(app(asyncio.Event()), 10**6, patience=0.1, memory=500_000)  # type: ignore[arg-type]
        large = part(b"x" * 200_000, True)
        held = [asyncio.create_task(asked(limit, [large, 5.0])) for _ in range(3)]
        await asyncio.sleep(0.01)
        status, told = await asked(limit, [large, part(b"")])
        assert status == 503 and "bodies hold 500,000 bytes already; ask again" in told["error"]
        assert (await asked(limit, [part(b"quick" * 10_000)]))[0] == 200
        assert {status for status, _ in await asyncio.gather(*held)} == {408}
        assert (await asked(limit, [large, part(b"")]))[0] == 200  # and give it back

    asyncio.run(ask())


def test_more_requests_than_may_wait_are_told_so_and_operators_are_let_in() -> None:
    async def ask() -> None:
        gate = asyncio.Event()
        limit = BodyLimit(app(gate), 100, waiting=2)  # type: ignore[arg-type]
        held = [asyncio.create_task(asked(limit, [part(b"slow")])) for _ in range(2)]
        await asyncio.sleep(0.05)
        status, told = await asked(limit, [part(b"quick")])
        assert status == 503 and "2 requests are waiting already; ask again" in told["error"]
        assert (await asked(limit, [], "GET"))[0] == 200
        gate.set()
        assert [status for status, _ in await asyncio.gather(*held)] == [200, 200]
        assert (await asked(limit, [part(b"quick")]))[0] == 200

    asyncio.run(ask())
