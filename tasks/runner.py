"""Runner: where the strategies of a night are trained: in this process, in others, by several together, or on a cluster.

A call is a function with its arguments. It reads what it needs from the store and the lake, and its result is a small value,
so that the store is the only channel: a worker needs the same settings and plug-ins, and no common file system beyond
them. Dask and Ray send arguments as pickles, so a cluster must be on a trusted network.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.reduction import ForkingPickler
from threading import Lock, Thread
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from nightloop.tasks.clusters.connection import Connection
from nightloop.tasks.clusters.dask import open_dask
from nightloop.tasks.clusters.ray import open_ray
from nightloop.tasks.clusters.work import Identity, Work
from nightloop.tasks.objects.objects import open_for_reading
from nightloop.tasks.objects.store_id import read_store_id
from nightloop.tasks.plan.context_value import use_value
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.safe_text import guard_process, hide_secrets
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import credentials
from nightloop.tasks.training.process_group import divided, exchange, has_joined, process_group

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
LONG = 20.0  # seconds of training that are left, from which two processes that must first start are quicker than one
ONE_THREAD = 1.3  # processors a strategy uses; with more, processes side by side would only share them


class Runner(Protocol):
    """Computes calls elsewhere."""

    @property
    def workers(self) -> int:
        """Calls that are worth giving it at a time; 0: none, compute them here."""

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `function` returns, or raises, on a worker."""


_RUNNER: ContextVar[Runner | None] = ContextVar("runner", default=None)


def compute(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the function on a worker of the run, or here if it has none."""
    runner = _RUNNER.get()
    return runner.call(function, *args, **kwargs) if runner and runner.workers else function(*args, **kwargs)


def compute_together(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function beside which no other is called: by all processes of torchrun, or else here, with all threads."""
    runner = _RUNNER.get()
    return runner.call(function, *args, **kwargs) if isinstance(runner, Together) else function(*args, **kwargs)


def workers_for(calls: int) -> int:
    """How many of so many calls are computed at a time; 1: one after another, in this process."""
    runner = _RUNNER.get()
    return max(1, min(runner.workers, calls)) if runner else 1


@contextmanager
def measured(calls_left: int) -> Iterator[None]:
    """A call that is computed here, with how many are left: `auto` decides by it whether the others are given to processes."""
    runner, wall, processor = _RUNNER.get(), time.perf_counter(), time.process_time()
    yield
    if isinstance(runner, Processes) and not runner.workers:
        seconds = time.perf_counter() - wall
        runner.decide(seconds * calls_left, (time.process_time() - processor) / max(seconds, 1e-9))


@contextmanager
def open_runner(given: str) -> Iterator[None]:
    """Open the runner that the settings name, for the calls of this context. It is closed at the end, its processes ended.

    Raises PlanError if a cluster does not answer or its package is not installed.
    """
    kind, _, where = given.partition(":")
    if kind == "sequential":
        yield
        return
    with process_group() if kind == "torchrun" else nullcontext():
        runner = _new_runner(kind, where, given)
        with closing(runner), use_value(_RUNNER, runner):
            yield


def _new_runner(kind: str, where: str, given: str) -> Processes | Together | Cluster:
    if kind == "torchrun":
        return Together()
    return Processes(int(where or 0)) if kind in ("auto", "processes") else open_cluster(given)


def open_cluster(given: str, security: Any = None) -> Cluster:
    """The cluster at `dask:<address>` or `ray://<address>`. Raises PlanError if it does not answer.

    `security`: the certificates of a Dask cluster; None: those of Dask's configuration.
    """
    kind, _, address = given.partition(":")
    found = open_dask(address, _compute, security) if kind == "dask" else open_ray(given, _compute)
    return Cluster(found)


@dataclass
class Processes:
    """Processes of this machine, started by the first call. A process that dies is replaced once, and its call repeated."""

    workers: int  # 0: not yet decided
    _pool: ProcessPoolExecutor | None = None
    _closed: bool = False
    _lock: Lock = field(default_factory=Lock)

    def decide(self, seconds_left: float, processors: float) -> None:
        """Use processes from now on, if much is left to do and a call does not use several processors itself."""
        cores = os.cpu_count() or 1
        if seconds_left >= LONG and processors < ONE_THREAD and cores > 1 and _main_can_be_imported():
            log.info("the other strategies are trained in %d processes", cores)
            self.workers = cores

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Runner.call`."""
        work = Work(function, args, kwargs, _identity())
        pool = self._open(None)
        try:
            return pool.submit(_compute, work).result()  # type: ignore[no-any-return]
        except BrokenExecutor:
            pool = self._open(pool)
            log.warning("a worker process ended before its work was done; the work is given to a new one")
            return pool.submit(_compute, work).result()  # type: ignore[no-any-return]

    def _open(self, broken: ProcessPoolExecutor | None) -> ProcessPoolExecutor:
        """The pool, a new one in place of a broken one. Raises CancelledError after the end of the run."""
        with self._lock:
            if self._closed:
                raise CancelledError("the run has ended, and nobody waits for this work")
            if self._pool is None or self._pool is broken:
                threads = max(1, (os.cpu_count() or 1) // self.workers)
                spawn = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
                self._pool = ProcessPoolExecutor(self.workers, spawn, _start_worker, (threads,))
            return self._pool

    def close(self) -> None:
        """End the processes, also in the middle of a call: nobody waits for it any more, and it is not made again."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            processes = list((pool._processes or {}).values())  # from Python 3.14 on kill_workers() does this
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in processes:
                worker.kill()


class Together:
    """All processes that torchrun started: each does the same work, and `fit` divides the batches among them."""

    workers = 1

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Runner.call`, in process 0. The others get the work from it, and their results are not used."""
        work = Work(function, args, kwargs, _identity())
        exchange("work", work)
        return _compute_divided(work)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the others end."""
        with suppress(BrokenExecutor):
            exchange("work", None)


def follow() -> None:
    """Do the work that process 0 of torchrun sends, until it has no more."""
    with process_group():
        while work := exchange("work", None)[0]:
            try:
                _compute_divided(work)
            except BrokenExecutor:
                raise
            except Exception as error:  # process 0 has the same error, or was told of this one
                log.debug("the work failed: %s", error)


def release() -> None:
    """In process 0 of torchrun, at its end: let the others end if it has trained nothing with them. They would wait for it."""
    if not has_joined():
        with process_group():
            Together().close()


def _compute_divided(work: Work) -> Any:
    """Do the work together with all processes, and wait until all have ended it, with a result or an error."""
    try:
        with divided():
            result = _compute(work)
    except BrokenExecutor:
        raise
    except Exception as error:
        exchange("end", f"{type(error).__name__}: {error}")
        raise
    exchange("end", "")
    return result


class Cluster(NamedTuple):
    """A cluster that is there already."""

    connection: Connection

    @property
    def workers(self) -> int:
        """As `Runner.workers`."""
        return self.connection.workers

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Runner.call`."""
        return self.connection.send(Work(function, args, kwargs, _identity()))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Leave the cluster."""
        self.connection.close()


def _identity() -> Identity:
    settings = Settings()
    store_id = read_store_id(open_for_reading(settings, credentials(settings)))  # one path may be two disks
    return Identity(
        version("nightloop"), version("torch"), f"{settings.store_place} (id {store_id or 'none'})", settings.lake_place
    )


@hide_secrets()  # the texts that a worker logs and raises hold what it read, and its own credentials
def _compute(work: Work) -> Any:
    """Do the work, on a worker. Raises ConflictError if the worker is not of the run's version and store."""
    if difference := work.of.difference(_identity()):
        raise ConflictError(
            f"a worker has {difference}. Nothing was written. Start it with the packages and the NIGHTLOOP_ settings of the run"
        )
    try:
        return work.function(*work.args, **work.kwargs)
    except Exception as error:
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:  # one that the run cannot read would break its pool of processes
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise


def _start_worker(threads: int) -> None:
    """Ctrl-C is for the run, which ends its workers; and all workers together use as many threads as there are cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    guard_process()
    import torch

    torch.set_num_threads(threads)


def _end_with(parent: Any) -> None:
    """End this process when the run's process ends, however it ends."""
    parent.join()
    os._exit(1)


def _main_can_be_imported() -> bool:
    """Whether a new process may import the main module again: it is ours or Prefect's, not a script without a guard."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name if spec else os.path.basename(sys.argv[0] if sys.argv else "")
    return name.split(".")[0] in ("nightloop", "prefect")
