"""Recalibration: keeps the model's probabilities honest by an intercept, or by Platt's line, learned as labels come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import Scored, Shape, State
from nightloop.tasks.plan.errors import PlanError

CHUNK = 256  # rows of one step: a large delivery is many steps, as if it had come in small ones


@dataclass(frozen=True)
class Recalibration:
    """sigmoid(logit p + a) for the form `intercept`, sigmoid(logit p + a + b logit p) for `platt`; both begin at 0.

    Online logistic regression by one Newton step for every 256 rows, with the curvature of all rows so far, which counts
    half after `half_life` rows (0: never); `prior` is the curvature before the first row, in rows of probability 1/2
    times four. It changes no order within one moment, so whatever it gains in AUC is drift of the base rate.

    Source: Platt 1999; the recursion is that of the extended Kalman filter, as in Titterington 1984.
    """

    form: Literal["intercept", "platt"] = "intercept"
    half_life: int = 20_000
    prior: float = 10.0

    def __post_init__(self) -> None:
        """Raise PlanError if an option cannot be."""
        if not (self.half_life >= 0 and self.prior > 0):
            raise PlanError(
                f"given half_life {self.half_life}, prior {self.prior}; half_life is 0 or more, prior above 0"
            )

    def start(self, shape: Shape) -> State:
        """No correction."""
        size = 1 if self.form == "intercept" else 2
        return {"line": torch.zeros(size, dtype=torch.float64), "curvature": torch.zeros(size, size).double()}

    def correct(self, state: State, scored: Scored) -> tuple[Tensor, Tensor]:
        """Recalibrated probabilities; the note is what they were."""
        z = torch.logit(scored.probability.double(), eps=1e-7)
        return torch.sigmoid(z + self._design(z) @ state["line"]).float(), scored.probability[:, None]

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Newton steps towards the labels."""
        for first in range(0, len(label), CHUNK):
            y = label[first : first + CHUNK]
            z = torch.logit(note[first : first + CHUNK, 0].double(), eps=1e-7)
            x = self._design(z)
            p = torch.sigmoid(z + x @ state["line"])
            if self.half_life:
                state["curvature"] *= 0.5 ** (len(z) / self.half_life)
            state["curvature"] += x.T @ (x * (p * (1 - p))[:, None])
            damped = state["curvature"] + self.prior * torch.eye(x.shape[1], dtype=torch.float64)
            state["line"] += torch.linalg.solve(damped, x.T @ (y - p))
        return state

    def _design(self, z: Tensor) -> Tensor:
        ones = torch.ones_like(z)[:, None]
        return ones if self.form == "intercept" else torch.cat([ones, z[:, None]], 1)
