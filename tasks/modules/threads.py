"""Threads: compute the parts of a training step in parallel, one thread for each part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class ThreadPool(NamedTuple):
    """The threads that compute a step. Without a pool the calling thread computes all of it."""

    parts: int = (
        1  # the most parts of a step. It does not depend on the number of threads: the last digits of sums depend on it
    )
    pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """The results of `work` for all parts, in the order of the parts. Raises what `work` raises."""
        return [work(part) for part in parts] if self.pool is None else list(self.pool.map(work, parts))


@contextmanager
def thread_pool(parts: int = 1) -> Iterator[ThreadPool]:
    """A pool of as many threads as torch may use. In this context each operation of torch uses one thread.

    `parts`: the most parts of a training step. If there are several threads, the parts are computed in parallel;
    otherwise one after another. The results are the same bytes.

    This is faster than letting torch split each operation: with two threads a batch takes four fifths of the time. The
    threads wait for each other only once a step. Operations that torch does not split (look-ups, row-wise optimisers)
    run in parallel too.
    """
    threads = torch.get_num_threads()
    with one_thread():
        if threads == 1:
            yield ThreadPool(parts)
            return
        # Each new thread needs this setting as well. Without it, its matrix products use one thread for each core.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield ThreadPool(parts, pool)


@contextmanager
def one_thread() -> Iterator[None]:
    """In this context torch's operations use one thread.

    A closed-form step has about thirty operations of ten microseconds each. On an idle machine a second thread would
    save a quarter of the time. On a busy machine it would take thirty times as long, because each operation waits for
    both threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
