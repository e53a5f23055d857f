"""Crew: parts of a training step side by side, each on a thread that computes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class ThreadPool(NamedTuple):
    """Threads that share a step; without a pool it is the caller alone."""

    parts: int = 1  # most parts of a step, whatever the number of threads: the last digits of a sum depend on them
    pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """The work on all parts, in their order. What one raises is raised."""
        return [work(part) for part in parts] if self.pool is None else list(self.pool.map(work, parts))


@contextmanager
def thread_pool(parts: int = 1) -> Iterator[ThreadPool]:
    """As many threads as torch is given, and one thread for each operation of torch meanwhile.

    `parts`: most parts of a training step. They are computed side by side where there are threads, and one after another
    where there are not: the bytes are the same.

    Two halves of a batch on two threads take four fifths of the time of a batch each of whose operations is split over
    both: they wait for each other at the end of a step alone, and what torch does not split (look-ups, the row-wise
    rules) is split as well.
    """
    threads = torch.get_num_threads()
    with one_thread():
        if threads == 1:
            yield ThreadPool(parts)
            return
        # Each thread is told as well: a new one's matrix products would take as many threads as there are cores.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield ThreadPool(parts, pool)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operations in this context.

    A closed-form step is thirty operations of some ten microseconds: a second thread gains a quarter on an idle
    machine, and loses a factor of thirty where any other process wants a core, since every operation waits for both.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
