"""Side by side: a task on each of several items, in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

R = TypeVar("R")
Item = TypeVar("Item")


def side_by_side(work: Callable[[Item], R], items: Sequence[Item], workers: int) -> list[R]:
    """Call a task on each item, at most `workers` at a time, in threads. After the first error no further call starts.

    Ctrl-C does not wait for the calls: the caller must end what `work` started.
    """
    pool, interrupted = ThreadPoolExecutor(max_workers=workers), False
    try:
        running = [pool.submit(copy_context().run, work, item) for item in items]
        for ended in wait(running, return_when=FIRST_EXCEPTION).done:
            ended.result()
        return [future.result() for future in running]
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        raise
    finally:
        pool.shutdown(wait=not interrupted, cancel_futures=True)
