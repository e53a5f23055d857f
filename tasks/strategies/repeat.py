"""Repeat: what a user takes again, by how often and how recently the user took it. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.pair_scores import PairScores
from nightloop.tasks.plan.bounds import WIDEST, refuse_outside
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.retraining.time_decay import check_half_life, decay_weights


@dataclass(frozen=True)
class Repeat:
    """Scores an item by log(1 + n), with n how often the user took it; each time counts half `half_life` periods later.

    It is for plans with `ranking: {repeats: true}`: otherwise what a user took is never ranked again, and this says
    nothing. All other items tie at 0, so it is best as a member of `Blend`. Of each user the `top` best items are kept.
    It is made anew every period from all history.

    Parameters
    ----------
    half_life : float, default 10.0
        Periods after which a taking counts half, above 0 and below 1,000,000. A larger value counts older ones more.
    top : int, default 200
        Items that are kept for each user, 1 or more: 8 bytes each in the checkpoint.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Hu et al. 2020, Modeling personalized item frequency information for next-basket recommendation.

    Examples
    --------
    The largest score, and that of one taking in the newest period, log 2.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.modules.pair_scores import pair_scores_of
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.repeat import Repeat
    >>> pairs = pair_scores_of(run_chain(MF(width=4), Repeat(), simulated_periods("ranking"))[-1].weights)
    >>> round(float(pairs.value.max()), 2), round(float(pairs.value[-1]), 2)
    (1.79, 0.69)
    """

    half_life: float = 10.0
    top: int = 200
    search_space: ClassVar[SearchSpace] = {"half_life": NumberRange(1.0, 100.0, log=True)}
    models: ClassVar[tuple[str, ...]] = ("MF",)
    composes: ClassVar[bool] = True
    lookback: ClassVar[int] = ALL_HISTORY

    def __post_init__(self) -> None:
        check_half_life("half_life", self.half_life)
        refuse_outside("top", self.top, WIDEST, what="items of a user")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The counts at the close of the root; the pre-trained weights are not used."""
        users, items = logs.sizes[:2]
        tables = from_parts(model, torch.zeros(users, 0), torch.zeros(items, 0), torch.zeros(items))
        key, place = torch.unique(logs.rows[:, 0] * max(items, 1) + logs.rows[:, 1], return_inverse=True)
        count = torch.zeros(len(key), dtype=torch.float64).index_add_(0, place, decay_weights(logs, self.half_life))
        user, item, value = key // max(items, 1), (key % max(items, 1)).int(), torch.log1p(count).float()
        keep = _first_of_each(user, value, self.top)
        user, item, value = user[keep], item[keep], value[keep]
        start = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(user, minlength=users).cumsum(0)])
        return Checkpoint(logs.period, {**tables, **PairScores(start, item, value).tensors()})

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The counts at the close of the newest period."""
        return self.start(model, checkpoint.weights, logs)


def _first_of_each(user: torch.Tensor, value: torch.Tensor, top: int) -> torch.Tensor:
    """Of entries ordered by user those with the `top` largest values of each, ascending."""
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(user[order], stable=True)]
    count = torch.bincount(user)
    nth = torch.arange(len(user)) - (count.cumsum(0) - count)[user]
    return order[nth < top].sort().values
