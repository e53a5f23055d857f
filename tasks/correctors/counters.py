"""Counters: clicks of users and items compared with what was predicted, shrunk towards the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import ScoredRows, Shape, State, forget
from nightloop.tasks.correction.online_selection import TRIED, add_evidence, best_setting, no_trials
from nightloop.tasks.plan.errors import PlanError


@dataclass(frozen=True)
class Counters:
    """Shifts the logit by how far the clicks of the item and of the user differ from what was predicted.

    logit y = logit p + f (d_item + d_user), with d = logit((clicks + m r) / (rows + m)) - logit(r)

    r is the mean prediction for the rows that were counted. A user or item for which the model is right has d = 0
    however often it is seen: this is the Beta posterior whose prior is the prediction, worth m = `prior` rows. A user's
    prediction includes d_item, so that the two do not explain the same clicks. Ids that the model does not know share
    one counter.

    Parameters
    ----------
    prior : float, default 50.0
        m, the rows that the model's prediction is worth, above 0. A larger value follows the clicks more slowly.
    strengths : tuple of float, default (0.25, 0.5, 1.0)
        Values of f to choose from, 0 to 1. The one is used that has lowered the log loss most so far, each row judged
        before its label was known. A single one is always used.
    caution : float, default 2.0
        Standard errors by which a strength must have lowered the log loss to be used, 0 or more. If none has, f = 0.
    half_life : int, default 200000
        Rows after which a row counts half; 0: never.

    Raises
    ------
    PlanError
        An option is out of range.

    Examples
    --------
    Item 1 was predicted at 0.2 and clicked in two of four rows: (2 + 10 * 0.2) / (4 + 10) for another user.

    >>> import torch
    >>> from nightloop.tasks.correction.corrector import ScoredRows, Shape
    >>> from nightloop.tasks.correctors.counters import Counters
    >>> corrector = Counters(prior=10, strengths=(1.0,), half_life=0)
    >>> state = corrector.start(Shape(hidden=4, users=2, items=2))
    >>> rows = ScoredRows(torch.tensor([[0, 1]] * 4), torch.zeros(4, 4), torch.full((4,), 0.2))
    >>> state = corrector.observe(state, corrector.correct(state, rows)[1], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    >>> other = ScoredRows(torch.tensor([[1, 1]]), torch.zeros(1, 4), torch.tensor([0.2]))
    >>> print(round(corrector.correct(state, other)[0].item(), 3))
    0.286
    """

    prior: float = 50.0
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0)
    caution: float = 2.0
    half_life: int = 200_000

    def __post_init__(self) -> None:
        """Raise PlanError if an option cannot be."""
        if not (self.half_life >= 0 and self.prior > 0):
            raise PlanError(
                f"given half_life {self.half_life}, prior {self.prior}; half_life is 0 or more, prior above 0"
            )
        if not self.strengths or not all(0 <= f <= 1 for f in self.strengths) or self.caution < 0:
            raise PlanError(
                f"given strengths {list(self.strengths)!r:.80}, caution {self.caution}; allowed are one or more numbers "
                "from 0 to 1, and a caution from 0"
            )

    def start(self, shape: Shape) -> State:
        """Empty counts [users + 1, 3] and [items + 1, 3] of rows, clicks and predicted clicks; unknown ids are last."""
        return {
            "user": torch.zeros(shape.users + 1, 3),
            "item": torch.zeros(shape.items + 1, 3),
            "weight": torch.ones(1, dtype=torch.float64),
            **no_trials(len(self.strengths)),
        }

    def correct(self, state: State, scored: ScoredRows) -> tuple[Tensor, Tensor]:
        """Corrected probabilities [n]; the note [n, 5] is user and item row, the prediction, d_item and d_user."""
        users, items = (_inside(scored.rows[:, column], state[name]) for column, name in ((0, "user"), (1, "item")))
        by_user, by_item = self._shift(state, torch.cat([state["user"][users], state["item"][items]])).chunk(2)
        z = torch.logit(scored.probability, eps=1e-6)
        note = torch.stack([users, items, *(x.double() for x in (scored.probability, by_item, by_user))], 1)
        strength = self.serving(state)
        corrected = torch.sigmoid(z + strength * (by_item + by_user))
        return (corrected if strength else scored.probability), note

    def observe(self, state: State, note: Tensor, label: Tensor) -> State:
        """Judge the strengths by the counts at the time the rows were served, then count."""
        p, by_item, by_user = note[:, 2:].float().unbind(1)
        z, weight = torch.logit(p, eps=1e-6), state["weight"].float()
        if len(self.strengths) > 1:
            some = slice(None, None, len(note) // TRIED + 1)
            after = torch.sigmoid(z[some, None] + (by_item + by_user)[some, None] * torch.tensor(self.strengths))
            add_evidence(state, torch.sigmoid(z[some]), after, label[some], self.half_life, self.caution)
        for name, column, prediction in (("user", 0, torch.sigmoid(z + by_item)), ("item", 1, p)):
            what = torch.stack([torch.ones(len(note)), label, prediction], 1)
            state[name].index_add_(0, note[:, column].long(), what * weight)
        forget(state, ("user", "item"), len(note), self.half_life)
        return state

    def serving(self, state: State) -> float:
        """The strength in use; 0 if none has been shown to help."""
        return best_setting(state, self.strengths, 0.0)

    def _shift(self, state: State, counted: Tensor) -> Tensor:
        """d [n] of counts [n, 3]."""
        rows, clicks, predicted = (counted / state["weight"].float()).unbind(1)
        rate = (predicted / rows.clamp(min=1e-30)).clamp(1e-6, 1 - 1e-6)
        posterior = (clicks + self.prior * rate) / (rows + self.prior)
        return torch.where(rows > 0, torch.logit(posterior, eps=1e-6) - torch.logit(rate), 0.0)


def _inside(ids: Tensor, table: Tensor) -> Tensor:
    """Row ids; those outside of the table become its last row."""
    last = len(table) - 1
    return torch.where((ids >= 0) & (ids < last), ids, last)
