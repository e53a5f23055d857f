"""Adam for the weights that are no table: all of them as one flat vector, so that a step is a handful of operations."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

DECAY = (0.9, 0.999)
TINY = 1e-8


@dataclass
class Adam:
    """Moments and clock of a flat vector of weights. Source: Kingma and Ba 2015, algorithm 1."""

    rate: float
    first: Tensor
    second: Tensor
    steps: int

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Move `weights` [n] in place along `gradient` [n]."""
        slow, fast = DECAY
        self.steps += 1
        self.first.lerp_(gradient, 1 - slow)
        self.second.mul_(fast).addcmul_(gradient, gradient, value=1 - fast)
        scale = self.second.sqrt().div_(sqrt(1 - fast**self.steps)).add_(TINY)
        weights.addcdiv_(self.first, scale, value=-self.rate / (1 - slow**self.steps))
