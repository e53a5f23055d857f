"""Popularity: the control that every personal model must beat; decayed counts written as MF weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts
from nightloop.tasks.retraining.time_decay import check_half_life, popularity


@dataclass(frozen=True)
class Popularity:
    """Gives every user the items that were taken most often recently, by counts that halve every `half_life` periods.

    It reads ten half-lives, because what is older would count less than a thousandth, and keeps no memory. The item's
    bias is log(1 + count), so that an item without a row scores as an item that was never taken. Users without a row get
    the same list only if MF has biases.

    Parameters
    ----------
    half_life : float, default 1.0
        Periods after which an interaction counts half, above 0 and below 1,000,000. A larger value counts older
        interactions more.

    Raises
    ------
    PlanError
        `half_life` is out of range.

    Examples
    --------
    The bias of the item with the largest decayed count, log(1 + 7.9).

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.popularity import Popularity
    >>> chain = run_chain(MF(width=4, biases=True), Popularity(half_life=1.0), simulated_periods("ranking"))
    >>> print(round(float(chain[-1].weights["table.item"][:, -1].max()), 3))
    2.182
    """

    half_life: float = 1.0
    search_space: ClassVar[SearchSpace] = {"half_life": NumberRange(0.2, 30.0, log=True)}
    models: ClassVar[tuple[str, ...]] = ("MF",)

    def __post_init__(self) -> None:
        check_half_life("half_life", self.half_life)

    @property
    def lookback(self) -> int:
        """Ten half-lives."""
        return ceil(10 * self.half_life)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The counts at the close of the root; the pre-trained weights are not used."""
        user, item = (logs.sizes[logs.fields.index(name)] for name in ("user", "item"))
        bias = popularity(logs, self.half_life)
        return Checkpoint(logs.period, from_parts(model, torch.zeros(user, 0), torch.zeros(item, 0), bias))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The counts at the close of the newest period."""
        return self.start(model, checkpoint.weights, logs)
