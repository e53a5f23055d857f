"""The service under load: 200 /score a second for a minute, labels coming back beside them, and a champion change.

The server is a process of its own, as `nightloop serve` starts it. Requests leave on a timetable, whether earlier ones have
come back or not, and their time counts from when they should have left: a server that stands still for a second pays for
every request of that second. 20 candidates each; every request's labels come back in groups, some seconds later.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from nightloop.tasks.objects.objects import Directory
from tests.benchmarks.click_store import CONTEXT, night, plan, promoted, store

RATE, SECONDS, CANDIDATES, SLOWEST = 200, 60, 20, 50.0
WARM, GROUP = 2, 20  # seconds that do not count; requests whose labels come together
HOUSE = Path(__file__).parents[2]


@dataclass
class Seen:
    """What came back."""

    times: list[float] = field(default_factory=list)  # milliseconds of /score
    observed: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    learned: int = 0


class Line:
    """Connections that stay open, each used by one request at a time."""

    def __init__(self, port: int) -> None:
        self._port, self._free = port, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()

    async def ask(self, path: str, body: object) -> tuple[int, dict[str, object]]:
        """Status and answer of a POST."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        answer = json.loads(await reader.readexactly(length))
        self._free.append((reader, writer))
        return int(lines[0].split()[1]), answer


async def load(port: int, change: object) -> Seen:
    """Send everything on time; call `change` in the middle."""
    seen, line, tasks = Seen(), Line(port), []
    begin = time.perf_counter()
    for number in range(RATE * (WARM + SECONDS)):
        due = begin + number / RATE
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(scored(line, number, due, seen)))
        if number % GROUP == 0 and number >= 5 * RATE:
            tasks.append(asyncio.create_task(labelled(line, number - 5 * RATE, seen)))
        if number == RATE * (WARM + SECONDS // 2):
            tasks.append(asyncio.get_running_loop().run_in_executor(None, change))
    await asyncio.gather(*tasks)
    return seen


async def scored(line: Line, number: int, due: float, seen: Seen) -> None:
    """One /score."""
    items = [f"item-{(number * 31 + j * 7) % 5000}" for j in range(CANDIDATES)]
    body = {"user": f"user-{number % 20_000}", "items": items, "features": CONTEXT, "request": f"r{number}"}
    try:
        status, answer = await asyncio.wait_for(line.ask("/score", body), 30)
        if status != 200 or len(answer["scores"]) != CANDIDATES:
            seen.wrong.append(f"{status} {answer}")
        seen.versions.add(str(answer.get("version")))
    except Exception as error:  # whatever it is, the request was dropped
        seen.wrong.append(f"{type(error).__name__}: {error}")
    if number >= WARM * RATE:
        seen.times.append((time.perf_counter() - due) * 1e3)


async def labelled(line: Line, first: int, seen: Seen) -> None:
    """One /observe, of a group of requests."""
    labels = [[int((n + j) % 5 == 0) for j in range(CANDIDATES)] for n in range(GROUP)]
    body = {"observations": [{"request": f"r{first + n}", "labels": y} for n, y in enumerate(labels)]}
    begin = time.perf_counter()
    try:
        status, answer = await asyncio.wait_for(line.ask("/observe", body), 30)
        seen.learned += int(answer.get("learned", 0))  # type: ignore[call-overload]
        if status != 200 or answer["learned"] != GROUP * CANDIDATES:
            seen.wrong.append(f"{status} {answer}")
    except Exception as error:
        seen.wrong.append(f"{type(error).__name__}: {error}")
    seen.observed.append((time.perf_counter() - begin) * 1e3)


def run() -> dict[str, object]:
    """The 99th percentile of /score, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        home, order = Path(folder), plan()
        objects: Directory = store(home / "store", order)
        then = night(objects, order, 1)  # made before: what a night costs is not what a change of champion costs
        (home / "bench.yaml").write_text(order.model_dump_json())
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = {**os.environ, "NIGHTLOOP_HOME": str(home)}
        words = [sys.executable, "-m", "nightloop", "serve", str(home / "bench.yaml"), "--port", str(port)]
        server = subprocess.Popen(words, cwd=HOUSE, env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_until_up(port, server)
            seen = asyncio.run(load(port, lambda: promoted(objects, then)))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
        lines = sum(len(path.read_bytes().splitlines()) for path in home.glob("served/bench/served/*.jsonl"))
    times = sorted(seen.times)
    slow = times[int(len(times) * 0.99)]
    whole = not seen.wrong and len(seen.versions) == 2 and lines == RATE * (WARM + SECONDS)
    observed = sorted(seen.observed)
    return {
        "name": "serve-load", "value": round(slow, 2), "unit": f"ms at p99 of {RATE} /score a second",
        "target": f"below {SLOWEST:.0f}; nothing wrong, nothing dropped over {SECONDS} s and a champion change",
        "met": slow < SLOWEST and whole,
        "detail": {
            "ms": {"median": times[len(times) // 2], "p99.9": times[int(len(times) * 0.999)], "most": times[-1]},
            "ms of /observe with 400 labels": {"median": observed[len(observed) // 2], "most": observed[-1]},
            "requests": len(times), "rows learned": seen.learned, "answers recorded": lines, "champions": len(seen.versions),
            "wrong": len(seen.wrong), "examples": seen.wrong[:3],
        },
    }  # fmt: skip


def wait_until_up(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the port answers. Raises RuntimeError where the server ends instead."""
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server stopped by itself")


if __name__ == "__main__":
    print(run())
