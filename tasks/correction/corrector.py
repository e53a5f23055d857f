"""Corrector: the shape of what may correct a prediction between two nights, as labels come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

State = dict[str, Tensor]  # all that a corrector remembers, of a size that does not grow; so a snapshot is its tensors


@dataclass(frozen=True)
class Shape:
    """What a model's rows look like: columns of `hidden`, and how many users and items it knows."""

    hidden: int
    users: int
    items: int


@dataclass(frozen=True)
class Scored:
    """Rows that the model has just scored, to be corrected."""

    rows: Tensor  # [n, F] int64 vocabulary rows: user, item, ...; -1 is unseen
    hidden: Tensor  # [n, d] the model's own view of the row, see `nightloop.tasks.training.hidden_features`
    probability: Tensor  # [n] what the model says, or the corrector before this one


class Corrector(Protocol):
    """A frozen dataclass of hyper-parameters; what it learns is in a state that the caller owns.

    `correct` changes nothing. The note it returns is what it needs to be reminded of when the labels come, which may be
    hours later and in any order: a corrector never sees a row twice. Test, then train: a row is corrected by what was
    known before its label.
    """

    def start(self, shape: Shape) -> State:
        """The state that knows nothing; it corrects nothing."""
        ...

    def correct(self, state: State, scored: Scored) -> tuple[Tensor, Tensor]:
        """Corrected probabilities [n], and the note [n, m] that `observe` is given with the labels."""
        ...

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Learn from labels [n] of 0 and 1. The state may be changed in place; the one returned counts."""
        ...


def forget(state: State, sums: tuple[str, ...], rows: int, half_life: int) -> None:
    """Let `rows` more rows pass: what was added before them counts half after `half_life` rows; 0 is never.

    What is added counts `state["weight"]` each, and that grows, so that nothing else need be touched; now and then all
    is scaled back. Divide sums by the weight to get numbers of rows.
    """
    if not half_life:
        return
    state["weight"] *= 2.0 ** min(rows / half_life, 60)
    if float(state["weight"]) > 2**20:
        for name in sums:
            state[name] /= state["weight"]
        state["weight"].fill_(1)
