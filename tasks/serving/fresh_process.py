"""Fresh: the asking side of a nursery; starts one when first needed and ends it with this process."""

from __future__ import annotations

import atexit
import json
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parents[3]
START = "import sys; sys.path.insert(0, sys.argv[1]); from nightloop.tasks.serving.fork_server import main; main()"
GRACE = 30.0  # seconds beyond the request's own limit: the imports of a nursery that has just begun


class ForkServer:
    """One nursery process. Starting it returns at once: it imports while the caller goes on."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, str(HOUSE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
        )
        self._one_at_a_time = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a fresh child (see `nursery.answer`); a nursery that does not answer in time is ended."""
        with self._one_at_a_time:
            try:
                line = self._exchange(json.dumps(request).encode() + b"\n", request["seconds"] + GRACE)
            except (BrokenPipeError, TimeoutError) as error:
                self.close()
                return {"trouble": f"no fresh process could be had: {error}"}
        found: dict[str, Any] = json.loads(line) if line else {"trouble": "the process that starts fresh ones died"}
        return found

    def close(self) -> None:
        """End it."""
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._process.kill()  # it died with a request half-read; nothing is left to tell it
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _exchange(self, request: bytes, seconds: float) -> bytes:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None or to.closed:
            raise BrokenPipeError("it was closed")
        to.write(request)
        to.flush()
        if not select.select([back], [], [], seconds)[0]:
            raise TimeoutError(f"no answer within {seconds:.0f} s")
        return back.readline()  # answers are written whole, so what has begun ends soon


_lock = threading.Lock()
_nursery: list[ForkServer] = []


def fork_server_of_process() -> ForkServer:
    """This process's nursery, started when first asked for. Call it early, and the imports cost no waiting later."""
    with _lock:
        if _nursery and not _nursery[0].alive:
            _nursery.pop().close()
        if not _nursery:
            _nursery.append(ForkServer())
            atexit.register(_nursery[0].close)
        return _nursery[0]
