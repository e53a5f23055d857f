"""Memory-mapped columns: columns too large for memory are in unnamed files, which end with the last tensor on them."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch
from torch import Tensor

Kinds = Mapping[str, tuple[tuple[int, ...], torch.dtype]]  # of each column the shape of one row, and the type


def allocate_columns(rows: int, kinds: Kinds, most: int, folder: Path) -> dict[str, Tensor]:
    """Columns of `rows` rows to write into: in memory, or in files in `folder` if all together have over `most` bytes.

    The system keeps as much of a file in memory as fits, and frees it if others need memory. `folder` must be on a
    disk: a file system in memory saves nothing. Raises OSError if it has not enough space.
    """
    shapes = {name: ((rows, *shape), kind) for name, (shape, kind) in kinds.items()}
    large = sum(prod(shape) * kind.itemsize for shape, kind in shapes.values()) > most
    return {
        name: _on_disk(shape, kind, folder) if large else torch.empty(shape, dtype=kind)
        for name, (shape, kind) in shapes.items()
    }


def _on_disk(shape: tuple[int, ...], kind: torch.dtype, folder: Path) -> Tensor:
    size = prod(shape) * kind.itemsize
    if not size:
        return torch.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(dir=folder) as file:  # its name is gone at once, whatever happens to this process
        os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here, not a crash when it is written to
        mapped = mmap.mmap(file.fileno(), size)
    return torch.frombuffer(mapped, dtype=kind).view(shape)
