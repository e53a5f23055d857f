"""A device that is simulated on the CPU: its tensors have values, but refuse to meet tensors of the CPU, as those of a GPU do.

Its name is `meta`, a device that every build of torch knows. In `simulated_gpu` operations on its tensors, and those that make
tensors there, are computed on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

AWAY = torch.device("meta")


class AwayTensor(Tensor):
    """A tensor of the device; `here` has its values."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> AwayTensor:
        made: AwayTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), strides=here.stride(), dtype=here.dtype, device=AWAY
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} outside of simulated_gpu")

    def numpy(self, *, force: bool = False) -> Any:
        """As on a GPU."""
        raise TypeError("can't convert a tensor of a device to numpy")


class _Simulation(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
        away = any(isinstance(one, AwayTensor) for one in tensors)
        target = kwargs.get("device")
        copies = function is torch.ops.aten._to_copy.default
        if away and not copies:
            mixed = [one for one in tensors if not isinstance(one, AwayTensor) and one.dim()]
            assert not mixed, f"{function}: a tensor of the CPU, {tuple(mixed[0].shape)}, meets one of the device"
        if target is not None and torch.device(target).type == AWAY.type:
            kwargs["device"] = torch.device("cpu")
            away = True
        elif target is not None:
            away = False
        args, kwargs = tree_map(_here, (args, kwargs))
        result = function(*args, **kwargs)
        return tree_map(lambda one: AwayTensor(one) if isinstance(one, Tensor) else one, result) if away else result


class _Constants(TorchFunctionMode):
    """Numbers and lists in Python become tensors of the device without the other mode."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is Tensor.__getitem__ and isinstance(args[0], AwayTensor) and isinstance(args[1], tuple):
            at = tuple(AwayTensor(torch.tensor(one, device="cpu")) if isinstance(one, list) else one for one in args[1])
            args = (args[0], at)
        result = function(*args, **kwargs)
        if function is torch.tensor and result.device.type == AWAY.type and not isinstance(result, AwayTensor):
            return AwayTensor(torch.tensor(*args, **{**kwargs, "device": "cpu"}))
        return result


def _here(one: Any) -> Any:
    return one.here if isinstance(one, AwayTensor) else one


@contextmanager
def simulated_gpu() -> Iterator[torch.device]:
    """In this context the device exists."""
    with _Simulation(), _Constants():
        yield AWAY
