"""Small made-up logs for the models' tests."""

from __future__ import annotations

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs


def make(sizes: tuple[int, ...], n: int, numeric: int = 0, seed: int = 0, labels: bool = False) -> Logs:
    """Random rows of period 0, one a microsecond; labels 0/1 or all ones."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.stack([torch.randint(size, (n,), generator=g) for size in sizes], 1)
    fields = ("user", "item", *(f"c{k}" for k in range(len(sizes) - 2)))
    label = torch.randint(2, (n,), generator=g).float() if labels else torch.ones(n)
    return Logs(
        period=0,
        periods=torch.zeros(n, dtype=torch.int32),
        fields=fields,
        rows=rows,
        numeric=torch.randn(n, numeric, generator=g),
        label=label,
        time=torch.arange(n),
        sizes=sizes,
        born=tuple(torch.zeros(size, dtype=torch.int32) for size in sizes),
        seed=seed,
    )


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether both hold the same names and, bit for bit, the same tensors."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
