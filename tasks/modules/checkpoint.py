"""Checkpoint: what a strategy hands from one night to the next, as named tensors and nothing else.

Names are the contract. A table of field `f` is called `table.f` and has one row per vocabulary row; every other weight
has any other name. Memory names are paths: `optimizer/table.user`, `learner/weights/table.item`. `grow` finds every
parallel tensor by the last part of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from safetensors.torch import load, save
from torch import Tensor

from nightloop.tasks.plan.errors import DataError

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What is served (`weights`) and what only its strategy reads (`memory`), at the close of `period`."""

    period: int
    weights: Weights
    memory: Weights = field(default_factory=dict)


def to_bytes(tensors: Weights) -> bytes:
    """Safetensors bytes; equal tensors give equal bytes, whatever the order they were put in."""
    return save(_apart({name: tensors[name].detach().contiguous() for name in sorted(tensors)}))


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values, no two in one storage: safetensors refuses what a memory may well hold under two names."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return tensors


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """The tensors of `to_bytes`. Raises DataError if the bytes are not whole safetensors."""
    try:
        return load(data)
    except Exception as error:
        raise DataError(f"these {len(data)} bytes are no safetensors file: {error}") from error


def pack(folder: str, tensors: Weights) -> dict[str, Tensor]:
    """The tensors with `folder/` before their names, as they are kept in a memory."""
    return {f"{folder}/{name}": tensor for name, tensor in tensors.items()}


def unpack(folder: str, memory: Weights) -> dict[str, Tensor]:
    """The tensors of a memory whose names begin with `folder/`, without it; none: an empty dict."""
    return {name[len(folder) + 1 :]: tensor for name, tensor in memory.items() if name.startswith(f"{folder}/")}
