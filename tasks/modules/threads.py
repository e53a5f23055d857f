"""Threads: the parts of a training step in parallel, each on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class ThreadPool(NamedTuple):
    """Threads that share a step. Without a pool the calling thread does all of it."""

    parts: int = 1  # most parts of a step, whatever the number of threads: the last digits of a sum depend on them
    pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """The results of `work` on all parts, in their order. An exception in one part is raised here."""
        return [work(part) for part in parts] if self.pool is None else list(self.pool.map(work, parts))


@contextmanager
def thread_pool(parts: int = 1) -> Iterator[ThreadPool]:
    """A pool of as many threads as torch may use. In this context each operation of torch takes one thread.

    `parts`: most parts of a training step. They are computed in parallel if there are threads, otherwise one after
    another. The bytes are the same.

    Two halves of a batch on two threads take four fifths of the time of a batch of which torch splits each operation.
    The threads wait for each other only at the end of a step, and the operations that torch does not split (look-ups,
    row-wise optimisers) are also shared.
    """
    threads = torch.get_num_threads()
    with one_thread():
        if threads == 1:
            yield ThreadPool(parts)
            return
        # Each new thread needs the setting too: otherwise its matrix products take as many threads as there are cores.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield ThreadPool(parts, pool)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operations in this context.

    A closed-form step is thirty operations of about ten microseconds. A second thread saves a quarter of the time on an
    idle machine. If another process needs a core, it costs a factor of thirty, because each operation waits for both.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
