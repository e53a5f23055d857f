"""Schedule: the hyper-parameters of one training run, and nothing that is not one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import torch

Optimizer = Literal["adagrad", "adam"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and by which rule a model is trained.

    `epochs` passes over the rows, in a new order each; `batch` rows a step (ranking: as many negatives besides).
    Tables learn at `rate` by `optimizer`, row by row: only rows that occur in a batch move, each at a pace of its
    own. All other weights learn by Adam at `dense_rate`. `l2` is half the weight of a row's squared length, added
    once for each time it occurs, so that rows without data never shrink. `precision` is that of the dense layers'
    matrix products; a model without dense layers is not touched by it. It is a choice of the plan because it changes
    results in the third digit; on a processor without bfloat16 instructions it is slower, not faster
    (`fast_bfloat16`).
    """

    epochs: int = 5
    batch: int = 1024
    rate: float = 0.1
    optimizer: Optimizer = "adagrad"
    l2: float = 0.0
    dense_rate: float = 0.001
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        wrong = [
            f"{name}: given {getattr(self, name)!r}; allowed are whole numbers from {least}"
            for name, least in (("epochs", 0), ("batch", 1))
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least
        ]
        for name in ("rate", "l2", "dense_rate"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
            if not number or value < 0 or (value == 0 and name != "l2"):
                wrong.append(f"{name}: given {value!r}; allowed are {'0 and ' if name == 'l2' else ''}numbers above 0")
        for name, legal in (("optimizer", get_args(Optimizer)), ("precision", get_args(Precision))):
            if getattr(self, name) not in legal:
                wrong.append(f"{name}: given {getattr(self, name)!r}; allowed are {', '.join(legal)}")
        if wrong:
            raise ValueError("schedule: " + "; ".join(wrong))


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
