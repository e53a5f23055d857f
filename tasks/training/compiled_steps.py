"""Compiled steps: many training steps of a dot-product model in one call of the compiled kernel."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Thread
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.modules.dot_product_step import Pairs
from nightloop.tasks.modules.ranking_loss import RankingLoss
from nightloop.tasks.modules.rowwise_optimizers import RowAdagrad
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import RankingLossName

log = logging.getLogger(__name__)
WORTHWHILE = 1_000_000  # pairs of a process from which the kernel saves more than the second that numba takes to load
_trained = [0]  # pairs that this process was asked for
SPLIT = 256  # pairs in a batch from which several threads are faster than one
MOST_THREADS = 8


def can_compile(pairs: int) -> bool:
    """Whether the kernel trains so many pairs: it is worth it, with those that this process trained before, and it can be
    compiled here. The bytes are the same without it."""
    _trained[0] += pairs
    return _trained[0] >= WORTHWHILE and _compiles()


@lru_cache(maxsize=1)
def _compiles() -> bool:
    """Whether a step and an index of pairs can be compiled, or read from the cache, by doing them once.

    It is done on one thread: a thread that could not load its code would leave the others waiting.
    """
    try:
        from nightloop.tasks.modules.negative_sampling import index_positives

        none, one = torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        pairs = Pairs(none, torch.zeros(0, 2, dtype=torch.int64), None, 0)
        compiled_steps(
            torch.zeros(1, 1), RowAdagrad(1.0, torch.zeros(1)), pairs, RankingLoss(), StepSettings(1, 1, 0.0, 1)
        )
        index_positives(one, one, 1, ThreadPool()).find(one, one)
    except ImportError:  # no numba for this Python or processor
        return False
    except Exception as error:
        log.warning("compiled training is not possible (%s: %s); the steps run in torch", type(error).__name__, error)
        return False
    return True


class StepSettings(NamedTuple):
    """What a compiled step does besides its loss and Adagrad."""

    width: int  # columns that are multiplied
    batch_size: int
    l2: float
    threads: int  # the most that are used; the result is the same bytes on any number


def compiled_steps(
    table: Tensor, optimizer: RowAdagrad, pairs: Pairs, loss: RankingLoss, settings: StepSettings
) -> Tensor:
    """`bilinear_step` on all batches of `pairs`, one after the other; returns the mean loss of the last."""
    from nightloop.tasks.kernels import dot_product as kernel  # numba is imported only here

    users, items, real, offset = pairs
    (n, entries), width = items.shape, table.shape[1]
    if real is not None:
        items = items.clone()
        items[:, 1:].masked_fill_(~real, -1)
    batch = max(min(settings.batch_size, n), 1)
    members, most = _members(settings.threads, batch), min(batch * (entries + 1), len(table))
    shift = np.zeros(0, dtype=np.float32) if loss.shift is None else loss.shift.numpy()
    given = kernel.KernelSettings(
        batch, settings.width, np.float32(optimizer.lr), np.float32(settings.l2),
        get_args(RankingLossName).index(loss.name), shift, offset,
    )  # fmt: skip
    scores, gradient = (_memory(torch.float32, members * batch, entries, fill=0) for _ in range(2))
    shared = kernel.SharedMemory(_memory(torch.int32, len(table), fill=-1), scores, gradient)
    own = [
        kernel.OwnMemory(
            _memory(torch.float32, most, width), _memory(torch.int64, most), _memory(torch.int32, most),
            _memory(torch.int32, most), _memory(torch.float32, width), _memory(torch.int64, batch + 1),
            _memory(torch.int64, batch * entries + 1),
        )
        for _ in range(members)
    ]  # fmt: skip
    arrays = (table.numpy(), optimizer.squares.numpy(), kernel.PairRows(users.numpy(), items.numpy()))

    def train() -> None:
        with _barrier(members) as barrier:

            def run(number: int) -> None:
                kernel.train_batches(*arrays, given, shared, own[number], kernel.ThreadNumber(number, members, barrier))

            others = [Thread(target=run, args=(number,)) for number in range(1, members)]
            for thread in others:
                thread.start()
            run(0)
            for thread in others:
                thread.join()

    if members == 1:
        train()
    else:  # Ctrl-C ends the main thread anywhere: the others would wait for it at the barrier for ever
        trainer = Thread(target=train)
        trainer.start()
        trainer.join()
    last = (n - 1) % batch + 1 if n else 0
    owner = users[n - last :] >> kernel.BLOCK & members - 1
    final = torch.from_numpy(scores).index_select(0, owner * batch + torch.arange(last))
    return loss.mean(final, None if real is None else real[-last:])


def _memory(kind: torch.dtype, *shape: int, fill: int | None = None) -> Any:
    """An array that begins with a cache line, as torch's do and numpy's do not: threads write to lines of their own. Without
    `fill` it holds anything."""
    memory = torch.empty(shape, dtype=kind)
    return (memory if fill is None else memory.fill_(fill)).numpy()


def _members(threads: int, batch: int) -> int:
    """How many threads compute a step: a power of two."""
    if batch < SPLIT or not sys.platform.startswith("linux"):  # elsewhere there are no barriers of POSIX threads
        return 1
    return 1 << (max(1, min(threads, MOST_THREADS)).bit_length() - 1)


@contextmanager
def _barrier(members: int) -> Iterator[int]:
    """The address of a barrier for so many threads; 0 for one."""
    if members == 1:
        yield 0
        return
    library, memory = ctypes.CDLL(None), np.zeros(16, dtype=np.int64)
    address = ctypes.c_void_p(memory.ctypes.data)
    library.pthread_barrier_init(address, None, members)
    try:
        yield memory.ctypes.data
    finally:
        library.pthread_barrier_destroy(address)
