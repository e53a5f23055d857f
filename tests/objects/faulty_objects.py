"""FaultyStore: a store that goes wrong at its n-th call, as disks, networks and machines do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from nightloop.tasks.objects.objects import Objects

T = TypeVar("T")
How = Literal["fail", "crash", "timeout", "lie"]
HOWS: tuple[How, ...] = ("fail", "crash", "timeout", "lie")


class Crash(BaseException):
    """The machine died: nothing after this point runs, no `except Exception` sees it."""


@dataclass(eq=False)
class FaultyStore:
    """`inner`, whose call number `at` (1, 2, ...; 0: never) goes wrong.

    `fail`: OSError, nothing was done. `crash`: the process dies before the call (so, at n+1: just after call n), and
    every later call dies too. `timeout`: it was done, then TimeoutError. `lie`: a write was done, but the answer is
    False, as after a retry inside a client; other calls are honest.
    """

    inner: Objects
    at: int
    how: How
    calls: int = 0
    log: list[str] = field(default_factory=list)
    dead: bool = False
    hidden: str = ""  # keys with this text are left out of every listing, and are there
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, key: str) -> tuple[bytes, str] | None:
        return self._call(f"read {key}", lambda: self.inner.read(key))

    def create(self, key: str, data: bytes) -> bool:
        return self._write(f"create {key}", lambda: self.inner.create(key, data))

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        return self._write(f"swap {key}", lambda: self.inner.swap(key, data, tag))

    def remove(self, key: str) -> None:
        self._call(f"remove {key}", lambda: self.inner.remove(key))

    def keys(self, prefix: str) -> Iterator[str]:
        found = self._call(f"keys {prefix}", lambda: list(self.inner.keys(prefix)))
        yield from (key for key in found if not self.hidden or self.hidden not in key)

    def _write(self, what: str, act: Callable[[], bool]) -> bool:
        done = self._call(what, act)
        return done and not (self.how == "lie" and self.log and self.log[-1] == f"{what} (faulty)")

    def _call(self, what: str, act: Callable[[], T]) -> T:
        with self._lock:
            self.calls += 1
            faulty = self.calls == self.at
            self.log.append(f"{what} (faulty)" if faulty else what)
            self.dead = self.dead or (faulty and self.how == "crash")
        if self.dead:
            raise Crash(f"died at call {self.calls}: {what}")
        if faulty and self.how == "fail":
            raise OSError(5, f"injected input/output error at call {self.calls}: {what}")
        done = act()
        if faulty and self.how == "timeout":
            raise TimeoutError(f"injected time-out after call {self.calls}: {what}")
        return done
