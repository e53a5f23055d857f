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

    work: RecordedRequest | Iterator[Any]
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
        scored: ScoredRequest = await waiting.answer
        return scored

    async def last(self, steps: Iterator[T]) -> T:
        """The last value of `steps`, which has at least one. Raises what it raises."""
        self._queue.put(waiting := _Waiting(steps))
        value: T = await waiting.answer
        return value

    def start(self) -> None:
        """Start to answer, also the requests that already wait."""
        self._thread.start()

    def stop(self) -> None:
        """Answer the waiting requests, then end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        iterators, running = deque[tuple[_Waiting, Any]](), True  # with what its iterator gave so far
        while running or iterators:
            batch, rows = list[_Waiting](), 0
            while running and rows < ROWS and not (self._queue.empty() and (batch or iterators)):
                waiting = self._queue.get()
                running = waiting is not None
                if waiting is not None and isinstance(waiting.work, RecordedRequest):
                    batch.append(waiting)
                    rows += len(waiting.work.inputs)
                elif waiting is not None:
                    iterators.append((waiting, None))
            if batch:
                self._answer(batch)
            if iterators:
                waiting, before = iterators.popleft()
                try:
                    iterators.appendleft((waiting, next(waiting.work)))  # type: ignore[arg-type]
                except StopIteration:
                    waiting.loop.call_soon_threadsafe(_set_answers, [waiting], [before])
                except Exception as error:
                    waiting.loop.call_soon_threadsafe(_set_answers, [waiting], [error])

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        answers: Sequence[Answer]
        try:
            answers = self._answers([waiting.work for waiting in batch])  # type: ignore[misc]
        except Exception as error:  # a bug; the thread must continue
            if len(batch) > 1:  # one request causes it; the others are answered
                for waiting in batch:
                    self._answer([waiting])
                return
            answers = [error]
        batch[0].loop.call_soon_threadsafe(_set_answers, batch, answers)


def _set_answers(batch: Sequence[_Waiting], answers: Sequence[object]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        if waiting.answer.done():  # the client has left
            continue
        if isinstance(answer, Exception):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)
