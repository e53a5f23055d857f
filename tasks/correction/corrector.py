"""Corrector: the interface of what corrects predictions between two nights, as labels arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

State = dict[str, Tensor]  # what a corrector has learned: tensors of fixed size


@dataclass(frozen=True)
class Shape:
    """The size of a model's rows: columns of `hidden`, and how many users and items it knows.

    Parameters
    ----------
    hidden : int
        d, columns of `ScoredRows.hidden`.
    users : int
        Rows of the user table.
    items : int
        Rows of the item table.
    """

    hidden: int
    users: int
    items: int


@dataclass(frozen=True)
class ScoredRows:
    """Rows that the model has just scored, to be corrected.

    Parameters
    ----------
    rows : Tensor
        [n, F] int64 vocabulary rows: user, item, then the other fields. -1 is an unseen id.
    hidden : Tensor
        [n, d] the model's own features of the row, see `nightloop.tasks.training.hidden_features`.
    probability : Tensor
        [n] the probability of a click from the model, or from the corrector before this one.
    """

    rows: Tensor
    hidden: Tensor
    probability: Tensor


class Corrector(Protocol):
    """A frozen dataclass of hyper-parameters; what it learns is in a state that the caller owns.

    A class that has these methods is enough; nothing is inherited. Test, then train: a row is corrected by what was
    known before its label. Labels may come hours later and in any order, and a corrector never sees a row twice:
    `correct` returns a note with whatever `observe` needs to know about the row.

    Examples
    --------
    A corrector that adds the mean error so far. After two clicks at 0.5 it adds 0.5 * 0.2.

    >>> import torch
    >>> from dataclasses import dataclass
    >>> from nightloop.tasks.correction.chain import begin_chain
    >>> from nightloop.tasks.correction.corrector import ScoredRows, Shape
    >>> @dataclass(frozen=True)
    ... class MeanError:
    ...     share: float = 0.2
    ...     def start(self, shape):
    ...         return {"rows": torch.zeros(1), "error": torch.zeros(1)}
    ...     def correct(self, state, scored):
    ...         p = scored.probability
    ...         return (p + self.share * state["error"] / state["rows"].clamp(min=1)).clamp(0, 1), p[:, None]
    ...     def observe(self, state, note, label):
    ...         return {"rows": state["rows"] + len(label), "error": state["error"] + (label - note[:, 0]).sum()}
    >>> chain = begin_chain("v1", {"mean": MeanError()}, Shape(hidden=1, users=1, items=1))
    >>> scored = ScoredRows(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 1), torch.tensor([0.5, 0.5]))
    >>> chain.observe("v1", chain.correct(scored)[1], torch.ones(2))
    >>> print(round(chain.correct(scored)[0][0].item(), 2))
    0.6
    """

    def start(self, shape: Shape) -> State:
        """The empty state, which corrects nothing.

        Parameters
        ----------
        shape : Shape
            The size of the model's rows.

        Returns
        -------
        dict of str to Tensor
            All that the corrector remembers, of a size that does not grow.
        """

    def correct(self, state: State, scored: ScoredRows) -> tuple[Tensor, Tensor]:
        """Correct rows. The state is not changed.

        Parameters
        ----------
        state : dict of str to Tensor
            What was learned so far.
        scored : ScoredRows
            n rows.

        Returns
        -------
        Tensor
            [n] the corrected probabilities.
        Tensor
            [n, m] the note: what `observe` is given with the labels.
        """

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Learn from labels.

        Parameters
        ----------
        state : dict of str to Tensor
            What was learned so far. It may be changed in place.
        note : Tensor
            [n, m] the rows' notes from `correct`.
        label : Tensor
            [n] of 0 and 1.

        Returns
        -------
        dict of str to Tensor
            The state from now on.
        """


def forget(state: State, sums: tuple[str, ...], rows: int, half_life: int) -> None:
    """Let `rows` more rows pass: what was added before them counts half after `half_life` rows.

    New rows are added with `state["weight"]`, which grows, so that older sums need no change. If it becomes large, all
    sums are scaled back. Divide the sums by the weight to get numbers of rows.

    Parameters
    ----------
    state : dict of str to Tensor
        Changed in place. It has the sums, and `weight` [1] float64.
    sums : tuple of str
        Names of the tensors of the state that are sums over rows.
    rows : int
        How many rows were added.
    half_life : int
        In rows; 0: nothing is forgotten.

    Examples
    --------
    A sum of 8 rows is worth 4 rows when 100 more rows have passed.

    >>> import torch
    >>> from nightloop.tasks.correction.corrector import forget
    >>> state = {"clicks": torch.tensor([8.0]), "weight": torch.ones(1, dtype=torch.float64)}
    >>> forget(state, ("clicks",), rows=100, half_life=100)
    >>> print((state["clicks"] / state["weight"]).item())
    4.0
    """
    if not half_life:
        return
    state["weight"] *= 2.0 ** min(rows / half_life, 60)
    if float(state["weight"]) > 2**20:
        for name in sums:
            state[name] /= state["weight"]
        state["weight"].fill_(1)
