"""ReLoop2: compensates the model's error on rows like this one, from a memory of rows whose labels have come."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nightloop.tasks.correction.corrector import Scored, Shape, State
from nightloop.tasks.correction.knn_memory import Neighbours
from nightloop.tasks.correction.lsh_memory import Sketch
from nightloop.tasks.correction.online_selection import TRIED, chosen, no_trials, record
from nightloop.tasks.plan.errors import PlanError


@dataclass(frozen=True)
class ReLoop2:
    """y = clip(p + lambda c e, 0, 1) with e = gamma (l - p) + (1 - gamma) (l - q): l the mean label and q the mean
    prediction that the memory holds for rows like this one, c = n / (n + `prior`) of n such rows.

    gamma = 1 mixes in the label of similar rows; gamma = 0 passes on their bias, and leaves a model alone that is right
    about them. Of `lambdas` x `gammas` that pair serves whose LogLoss on the rows so far, each judged before its label
    was known, is least; a pair must beat no correction by `caution` standard errors to be considered. One lambda and
    one gamma: they serve, whatever they cost. Evidence about the pairs counts half after `half_life` rows.

    Source: Zhu et al. 2023 (ReLoop2), section 4; `prior` (0 there), `caution` and the choice are ours.
    """

    memory: Annotated[Sketch | Neighbours, Field(discriminator="kind")] = field(default_factory=Sketch)
    lambdas: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7, 1.0)
    gammas: tuple[float, ...] = (0.0, 0.5, 1.0)
    prior: float = 5.0
    caution: float = 2.0
    half_life: int = 50_000

    def __post_init__(self) -> None:
        """Raise PlanError if an option cannot be."""
        for name in ("lambdas", "gammas"):
            given = getattr(self, name)
            if not given or not all(0 <= value <= 1 for value in given):
                raise PlanError(f"{name}: given {list(given)!r:.80}; allowed are one or more numbers from 0 to 1")
        if not (self.prior >= 0 and self.caution >= 0 and self.half_life >= 0):
            raise PlanError(
                f"given prior {self.prior}, caution {self.caution}, half_life {self.half_life}; allowed is 0 and above"
            )

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Every (lambda, gamma)."""
        return list(product(self.lambdas, self.gammas))

    def start(self, shape: Shape) -> State:
        """An empty memory, and nothing known about any pair."""
        return {**self.memory.start(shape.hidden), **no_trials(len(self.pairs))}

    def correct(self, state: State, scored: Scored) -> tuple[Tensor, Tensor]:
        """Compensated probabilities; the note is what went in, what was read, and the key."""
        key = self.memory.key(state, scored.hidden)
        read = self.memory.read(state, key)
        error = self.error(scored.probability, read, *self.serving(state))
        note = torch.cat([scored.probability[:, None], read, key], 1)
        return (scored.probability + error).clamp(0, 1), note

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Judge the pairs by what was read when the rows were served, then write the rows."""
        p, key = note[:, 0], note[:, 4:]
        if len(self.pairs) > 1:
            some = slice(None, None, len(note) // TRIED + 1)
            strength, transfer = torch.tensor(self.pairs).T
            error = self.error(p[some, None], note[some, None, 1:4], strength, transfer)
            record(state, p[some], p[some, None] + error, label[some], self.half_life, self.caution)
        self.memory.write(state, key, label, p)
        return state

    def error(self, p: Tensor, read: Tensor, strength: float | Tensor, transfer: float | Tensor) -> Tensor:
        """lambda c e of probabilities p and reads [..., 3]; 0 where the memory holds nothing like the row."""
        label, prediction, rows = read.unbind(-1)
        known = torch.where(rows > 0, rows / (rows + self.prior), 0.0)
        return strength * known * (transfer * (label - p) + (1 - transfer) * (label - prediction))

    def serving(self, state: State) -> tuple[float, float]:
        """The lambda and gamma that serve now; lambda is 0 where no pair has been shown to help."""
        if len(self.pairs) == 1:
            return self.pairs[0]
        best = chosen(state)
        return (0.0, 1.0) if best is None else self.pairs[best]
