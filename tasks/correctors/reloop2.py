"""ReLoop2: compensates the model's error on a row from a memory of similar rows whose labels are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nightloop.tasks.correction.corrector import ScoredRows, Shape, State
from nightloop.tasks.correction.knn_memory import Neighbours
from nightloop.tasks.correction.lsh_memory import Sketch
from nightloop.tasks.correction.online_selection import TRIED, add_evidence, best_setting, no_trials
from nightloop.tasks.plan.errors import PlanError


@dataclass(frozen=True)
class ReLoop2:
    """Compensates the model's error on a row by its errors on similar rows whose labels are known.

    y = clip(p + lambda c e, 0, 1) with e = gamma (l - p) + (1 - gamma) (l - q)

    l is the mean label and q the mean prediction that the memory holds for rows like this one; c = n / (n + `prior`)
    for n such rows. Of all pairs of `lambdas` and `gammas` the one is used whose log loss on the rows so far is least,
    each row judged before its label was known. A single pair is always used.

    Parameters
    ----------
    memory : Sketch or Neighbours, default Sketch()
        How similar rows are found. In a plan: `{kind: sketch, ...}` or `{kind: neighbours, ...}` with their options.
    lambdas : tuple of float, default (0.1, 0.2, 0.4, 0.7, 1.0)
        Strengths of the correction to choose from, 0 to 1. 0 corrects nothing.
    gammas : tuple of float, default (0.0, 0.5, 1.0)
        1 mixes in the label of similar rows, as in the paper's experiments. 0 corrects by the bias on similar rows, and
        leaves a model unchanged that is right about them.
    prior : float, default 5.0
        Rows at which half of the correction is applied, 0 or more. The paper has 0.
    caution : float, default 2.0
        Standard errors by which a pair must have lowered the log loss to be used, 0 or more. If none has, nothing is
        corrected. Not in the paper.
    half_life : int, default 50000
        Rows after which evidence about the pairs counts half; 0: never.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Zhu et al. 2023, ReLoop2: building self-adaptive recommendation models via responsive error compensation loop,
    section 4. The choice between several pairs is ours.

    Examples
    --------
    Two clicked rows were predicted at 0.2. A row like them, predicted at 0.2, is corrected to 0.2 + 0.5 (1 - 0.2).

    >>> import torch
    >>> from nightloop.tasks.correction.corrector import ScoredRows, Shape
    >>> from nightloop.tasks.correction.knn_memory import Neighbours
    >>> from nightloop.tasks.correctors.reloop2 import ReLoop2
    >>> corrector = ReLoop2(Neighbours(capacity=50), lambdas=(0.5,), gammas=(1.0,), prior=0)
    >>> state = corrector.start(Shape(hidden=2, users=1, items=1))
    >>> rows = ScoredRows(torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 2), torch.full((2,), 0.2))
    >>> state = corrector.observe(state, corrector.correct(state, rows)[1], torch.ones(2))
    >>> print(round(corrector.correct(state, rows)[0][0].item(), 3))
    0.6
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
        """An empty memory, and no evidence about any pair."""
        return {**self.memory.start(shape.hidden), **no_trials(len(self.pairs))}

    def correct(self, state: State, scored: ScoredRows) -> tuple[Tensor, Tensor]:
        """Compensated probabilities [n]; the note [n, m] is the probability before, what was read, and the key."""
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
            add_evidence(state, p[some], p[some, None] + error, label[some], self.half_life, self.caution)
        self.memory.write(state, key, label, p)
        return state

    def error(self, p: Tensor, read: Tensor, strength: float | Tensor, transfer: float | Tensor) -> Tensor:
        """lambda c e of probabilities p and reads [..., 3]; 0 if the memory holds nothing like the row."""
        label, prediction, rows = read.unbind(-1)
        known = torch.where(rows > 0, rows / (rows + self.prior), 0.0)
        return strength * known * (transfer * (label - p) + (1 - transfer) * (label - prediction))

    def serving(self, state: State) -> tuple[float, float]:
        """The lambda and gamma in use; lambda is 0 if no pair has been shown to help."""
        return best_setting(state, self.pairs, (0.0, 1.0))
