"""Recalibration: keeps probabilities calibrated by an intercept or by Platt's line, learned from the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import ScoredRows, Shape, State
from nightloop.tasks.plan.errors import PlanError

CHUNK = 256  # rows of one step: a large delivery is many steps, as if it had come in small ones


@dataclass(frozen=True)
class Recalibration:
    """Shifts the logit of every prediction, or shifts and scales it, as the labels show.

    sigmoid(logit p + a), or sigmoid(logit p + a + b logit p); both a and b start at 0.

    Online logistic regression, with one Newton step for every 256 rows. The curvature is that of all rows so far. The
    order of predictions within one moment does not change, so whatever is gained in AUC is drift of the base rate.

    Parameters
    ----------
    form : {"intercept", "platt"}, default "intercept"
        `intercept` learns a, `platt` learns a and b.
    half_life : int, default 20000
        Rows after which the curvature of a row counts half; 0: never. A smaller value follows drift faster and is
        noisier.
    prior : float, default 10.0
        Curvature before the first row, above 0. A row of probability 1/2 has a curvature of 1/4, so 10 is worth 40 such
        rows.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines. Titterington 1984, Recursive parameter estimation
    using incomplete data. The recursion is that of the extended Kalman filter.

    Examples
    --------
    Ten clicked rows that were predicted at 0.5: one step of 10 * 0.5 / (10 * 0.25 + 10) = 0.4, and sigmoid(0.4).

    >>> import torch
    >>> from nightloop.tasks.correction.corrector import ScoredRows, Shape
    >>> from nightloop.tasks.correctors.recalibration import Recalibration
    >>> corrector = Recalibration(half_life=0)
    >>> state = corrector.start(Shape(hidden=1, users=1, items=1))
    >>> rows = ScoredRows(torch.zeros(10, 2, dtype=torch.int64), torch.zeros(10, 1), torch.full((10,), 0.5))
    >>> state = corrector.observe(state, corrector.correct(state, rows)[1], torch.ones(10))
    >>> print(round(corrector.correct(state, rows)[0][0].item(), 3))
    0.599
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

    def correct(self, state: State, scored: ScoredRows) -> tuple[Tensor, Tensor]:
        """Recalibrated probabilities [n]; the note [n, 1] is the probabilities before."""
        z = torch.logit(scored.probability.double(), eps=1e-7)
        return torch.sigmoid(z + self._design(z) @ state["line"]).float(), scored.probability[:, None]

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Newton steps towards the labels [n]."""
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
