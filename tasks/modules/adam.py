"""Adam for the weights that are no table: all of them as one flat vector, so that a step is a handful of operations."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8


@dataclass
class Adam:
    """Moments and number of steps of a flat vector of weights. Source: Kingma and Ba 2015, algorithm 1."""

    lr: float
    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: int

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Move `weights` [n] in place along `gradient` [n]."""
        beta1, beta2 = BETAS
        self.steps += 1
        self.exp_avg.lerp_(gradient, 1 - beta1)
        self.exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        scale = self.exp_avg_sq.sqrt().div_(sqrt(1 - beta2**self.steps)).add_(EPS)
        weights.addcdiv_(self.exp_avg, scale, value=-self.lr / (1 - beta1**self.steps))
