"""The client of the fork server; starts it when first needed and ends it with this process."""

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
GRACE = 30.0  # seconds beyond the request's own limit: the imports of a server that has just started


class ForkServer:
    """One fork-server process. Starting it returns at once: it imports while the caller continues."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, str(HOUSE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
        )
        self._one_at_a_time = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a fresh child (see `fork_server.answer`); a server that does not answer in time is ended."""
        with self._one_at_a_time:
            try:
                line = self._exchange(json.dumps(request).encode() + b"\n", request["seconds"] + GRACE)
            except (BrokenPipeError, TimeoutError) as error:
                self.close()
                return {"trouble": f"no fresh process could be started: {error}"}
        result: dict[str, Any] = json.loads(line) if line else {"trouble": "the process that starts fresh ones died"}
        return result

    def close(self) -> None:
        """End it."""
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._process.kill()  # it died with a request half-read; nothing more can be sent
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
        return back.readline()  # an answer is written in one go, so a line that has begun ends soon


_lock = threading.Lock()
_servers: list[ForkServer] = []


def fork_server_of_process() -> ForkServer:
    """This process's fork server, started at the first call. An early call saves the wait for its imports later."""
    with _lock:
        if _servers and not _servers[0].alive:
            _servers.pop().close()
        if not _servers:
            _servers.append(ForkServer())
            atexit.register(_servers[0].close)
        return _servers[0]
