"""TrainConfig: the hyper-parameters of one training run, and nothing that is not one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import torch

from nightloop.tasks.plan.bounds import ROUNDS, ROWS, is_whole, words

Optimizer = Literal["adagrad", "adam"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and by which rule a model is trained.

    `epochs` passes over the rows, in a new order each; `batch_size` rows a step (ranking: as many negatives besides).
    Tables learn at `lr` by `optimizer`, row by row: only rows that occur in a batch move, each at a pace of its
    own. All other weights learn by Adam at `dense_lr`. `l2` is half the weight of a row's squared length, added
    once for each time it occurs, so that rows without data never shrink. `precision` is that of the dense layers'
    matrix products; a model without dense layers is not touched by it. It is a choice of the plan because it changes
    results in the third digit; on a processor without bfloat16 instructions it is slower, not faster
    (`fast_bfloat16`). A batch is dealt into at most `parts` parts of 512 rows or more, each for a thread of its own; MF and
    LightGCN, whose steps take no longer than dealing does, have one. The sums' last digits depend on them, so they are a
    choice of the plan: the same bytes on any number of cores.
    """

    epochs: int = 5
    batch_size: int = 1024
    lr: float = 0.05
    optimizer: Optimizer = "adagrad"
    l2: float = 0.0
    dense_lr: float = 0.001
    precision: Precision = "float32"
    parts: int = 2

    def __post_init__(self) -> None:
        checks = {
            "epochs": (is_whole(self.epochs, ROUNDS, 0), words(ROUNDS, 0)),
            "batch_size": (is_whole(self.batch_size, ROWS), words(ROWS)),
            "lr": (_number(self.lr) and self.lr > 0, "numbers above 0"),
            "optimizer": (self.optimizer in get_args(Optimizer), ", ".join(get_args(Optimizer))),
            "l2": (_number(self.l2) and self.l2 >= 0, "numbers from 0"),
            "dense_lr": (_number(self.dense_lr) and self.dense_lr > 0, "numbers above 0"),
            "parts": (is_whole(self.parts, 64), words(64)),
            "precision": (self.precision in get_args(Precision), ", ".join(get_args(Precision))),
        }
        wrong = [
            f"{name}: given {getattr(self, name)!r:.80}; allowed are {legal}"
            for name, (right, legal) in checks.items()
            if not right
        ]
        if wrong:
            raise ValueError("training: " + "; ".join(wrong))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
