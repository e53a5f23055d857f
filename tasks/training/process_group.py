"""Process group: processes that torchrun started train a model together, by `torch.distributed` over gloo.

Every process does the same work with the same rows, and keeps all weights. Of each step it computes some of the parts of the
batch and receives the gradients of the others. So the weights are the same bytes in every process, and those of a
training in one process. What the processes send to each other are pickles, so they must be on a trusted network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from nightloop.tasks.plan.context_value import use_value
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.settings import torchrun_rank

T = TypeVar("T")
K = TypeVar("K")
LONGEST = timedelta(days=2)  # how long the others wait while process 0 collects; one that ends is noticed at once
_SIZE: ContextVar[int] = ContextVar("group_size", default=1)
_joined = False  # whether this process has joined the others


class Message(NamedTuple):
    """What a process tells all others. The kinds must agree: the processes do the same work in the same order."""

    kind: str
    value: Any


def _torch_distributed() -> ModuleType:
    """The module, imported here: who only looks at a store does not wait for torch."""
    return import_module("torch.distributed")


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes of torchrun for the work of this context. Raises PlanError if torchrun did not start this process."""
    if torchrun_rank() is None:
        raise PlanError(
            "NIGHTLOOP_RUNNER: given 'torchrun'; this process was not started by it. Start the verb as "
            "torchrun --nproc-per-node 2 -m nightloop night PLAN, or use another runner"
        )
    global _joined
    dist = _torch_distributed()
    dist.init_process_group("gloo", timeout=LONGEST)
    _joined = True
    try:
        yield
    finally:
        dist.destroy_process_group()


def has_joined() -> bool:
    """Whether this process has joined the others, now or before."""
    return _joined


def divided() -> AbstractContextManager[object]:
    """In this context all processes do the same work, and `divide` gives each of them a part of it."""
    return use_value(_SIZE, _torch_distributed().get_world_size())


def group_size() -> int:
    """How many processes train together; 1: this one alone."""
    return _SIZE.get()


def exchange(kind: str, value: Any) -> list[Any]:
    """The values of all processes, by their numbers. Raises BrokenExecutor if one has ended or does other work."""
    dist = _torch_distributed()
    found: list[Any] = [None] * dist.get_world_size()
    try:
        dist.all_gather_object(found, Message(kind, value))
    except RuntimeError as error:
        raise BrokenExecutor(f"a process of torchrun ended: {str(error).splitlines()[0]:.200}") from None
    for number, message in enumerate(found):
        if message.kind != kind:
            said = f": {message.value}" if message.kind == "end" and message.value else ""
            raise BrokenExecutor(
                f"process {number} of torchrun does other work ({message.kind} instead of {kind}){said}"
            )
    return [message.value for message in found]


def divide(compute: Callable[[T], K], parts: Sequence[T], map_parts: Callable[..., list[K]], kind: type[K]) -> list[K]:
    """What `compute` returns for all parts, in their order: each a named tuple of tensors, of this `kind`.

    Each process computes some of them, by `map_parts`.
    """
    size = group_size()
    if size == 1:
        return map_parts(compute, parts)
    import torch

    own: list[Any] = map_parts(compute, parts[_torch_distributed().get_rank() :: size])
    arrays = [[None if tensor is None else tensor.numpy() for tensor in computed] for computed in own]
    found = exchange("gradients", arrays)  # arrays are pickled faster than tensors
    return [
        kind(*(None if array is None else torch.from_numpy(array) for array in found[number % size][number // size]))
        for number in range(len(parts))
    ]
