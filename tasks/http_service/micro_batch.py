"""Micro-batches: one thread answers all waiting requests in one pass of the model; the more wait, the cheaper is each.

Two threads would cost more than one: each operation of a model releases the interpreter lock and waits for it again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest

ROWS = 2000  # of one pass: later requests wait for no more than these
Answer = ScoredRequest | Exception
T = TypeVar("T")


@dataclass(frozen=True)
class _Waiting:
    """A waiting request, or an iterator whose last value is waited for."""

    what: RecordedRequest | Iterator[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class MicroBatcher:
    """Requests from an event loop, answered by `answers` on a thread of their own between `start` and `stop`.

    A batch does not wait to fill: it is what has come while the one before was worked on. Work that takes longer
    is an iterator, of which one step is done after each batch.
    """

    def __init__(self, answers: Callable[[Sequence[RecordedRequest]], Sequence[Answer]]) -> None:
        self._answers, self._queue = answers, SimpleQueue[_Waiting | None]()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)

    async def answer(self, question: RecordedRequest) -> ScoredRequest:
        """Raises the error of a wrong request."""
        self._queue.put(waiting := _Waiting(question))
        page: ScoredRequest = await waiting.answer
        return page

    async def last(self, steps: Iterator[T]) -> T:
        """The last value of `steps`, which has at least one. Raises what it raises."""
        self._queue.put(waiting := _Waiting(steps))
        found: T = await waiting.answer
        return found

    def start(self) -> None:
        """Start to answer, also the requests that already wait."""
        self._thread.start()

    def stop(self) -> None:
        """Answer the waiting requests, then end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        longer, going = deque[tuple[_Waiting, Any]](), True  # with what its iterator gave so far
        while going or longer:
            batch, rows = list[_Waiting](), 0
            while going and rows < ROWS and not (self._queue.empty() and (batch or longer)):
                one = self._queue.get()
                going = one is not None
                if one is not None and isinstance(one.what, RecordedRequest):
                    batch.append(one)
                    rows += len(one.what.asked)
                elif one is not None:
                    longer.append((one, None))
            if batch:
                self._answer(batch)
            if longer:
                one, before = longer.popleft()
                try:
                    longer.appendleft((one, next(one.what)))  # type: ignore[arg-type]
                except StopIteration:
                    one.loop.call_soon_threadsafe(_hand_out, [one], [before])
                except Exception as error:
                    one.loop.call_soon_threadsafe(_hand_out, [one], [error])

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        found: Sequence[Answer]
        try:
            found = self._answers([one.what for one in batch])  # type: ignore[misc]
        except Exception as error:  # a bug; the thread must continue
            if len(batch) > 1:  # one request causes it; the others are answered
                for one in batch:
                    self._answer([one])
                return
            found = [error]
        batch[0].loop.call_soon_threadsafe(_hand_out, batch, found)


def _hand_out(batch: Sequence[_Waiting], found: Sequence[object]) -> None:
    for one, answer in zip(batch, found, strict=True):
        if one.answer.done():  # the client has left
            continue
        if isinstance(answer, Exception):
            one.answer.set_exception(answer)
        else:
            one.answer.set_result(answer)
