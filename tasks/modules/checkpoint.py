"""Checkpoint: what a strategy returns for the next night, as named tensors and nothing else.

The names are a contract. A table of field `f` is called `table.f` and has one row for each vocabulary row; every other
weight has any other name. Names in the memory are paths: `optimizer/table.user`, `learner/weights/table.item`. `grow`
finds tensors that are parallel to a table by the last part of their names.
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
    """What is served and what only the strategy reads, at the close of a period.

    Parameters
    ----------
    period : int
        Index of the period.
    weights : mapping of str to Tensor
        The weights that are served. Tables are called `table.<field>`.
    memory : mapping of str to Tensor, optional
        What the strategy needs on the next night, such as the state of an optimiser. Names are paths.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.modules.checkpoint import Checkpoint, pack, unpack
    >>> squares = {"table.item": torch.tensor([4.0, 9.0])}
    >>> checkpoint = Checkpoint(3, {"table.item": torch.zeros(2, 8)}, pack("optimizer", squares))
    >>> list(checkpoint.memory), unpack("optimizer", checkpoint.memory)["table.item"].tolist()
    (['optimizer/table.item'], [4.0, 9.0])
    """

    period: int
    weights: Weights
    memory: Weights = field(default_factory=dict)


def to_bytes(tensors: Weights) -> bytes:
    """Tensors as the bytes of a safetensors file.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Any tensors; several names may share one tensor.

    Returns
    -------
    bytes
        Equal tensors give equal bytes, whatever the order of the mapping.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.modules.checkpoint import from_bytes, to_bytes
    >>> one, two = {"a": torch.ones(2), "b": torch.zeros(1)}, {"b": torch.zeros(1), "a": torch.ones(2)}
    >>> to_bytes(one) == to_bytes(two), from_bytes(to_bytes(one))["a"].tolist()
    (True, [1.0, 1.0])
    """
    return save(_copy_shared({name: tensors[name].detach().contiguous() for name in sorted(tensors)}))


def _copy_shared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values, each with its own storage. safetensors refuses tensors that share one, as in a memory."""
    addresses: set[int] = set()
    for name, tensor in tensors.items():
        address = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if address in addresses else tensor
        addresses.add(address)
    return tensors


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Parameters
    ----------
    data : bytes
        What `to_bytes` returned.

    Returns
    -------
    dict of str to Tensor
        The tensors by name.

    Raises
    ------
    DataError
        The bytes are not a whole safetensors file.
    """
    try:
        return load(data)
    except Exception as error:
        raise DataError(f"these {len(data)} bytes are not a safetensors file: {error}") from error


def pack(folder: str, tensors: Weights) -> dict[str, Tensor]:
    """Tensors with a folder before their names, as they are stored in a memory.

    Parameters
    ----------
    folder : str
        What is put before each name, with a `/`.
    tensors : mapping of str to Tensor
        The tensors by name.

    Returns
    -------
    dict of str to Tensor
        The same tensors by their longer names.

    Examples
    --------
    >>> from nightloop.tasks.modules.checkpoint import pack
    >>> list(pack("learner", {"table.item": None}))
    ['learner/table.item']
    """
    return {f"{folder}/{name}": tensor for name, tensor in tensors.items()}


def unpack(folder: str, memory: Weights) -> dict[str, Tensor]:
    """The tensors of one folder of a memory: the inverse of `pack`.

    Parameters
    ----------
    folder : str
        What the names begin with.
    memory : mapping of str to Tensor
        Tensors of any folders.

    Returns
    -------
    dict of str to Tensor
        The folder's tensors by their names in it; empty if there are none.
    """
    return {name[len(folder) + 1 :]: tensor for name, tensor in memory.items() if name.startswith(f"{folder}/")}
