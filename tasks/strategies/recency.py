"""Recency: the items that were taken last, whoever took them. Nothing is trained."""

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
from nightloop.tasks.retraining.time_decay import check_half_life, decay_weights


@dataclass(frozen=True)
class Recency:
    """Gives every user the items that were taken most recently: an item's bias is 2^(-age / half_life) of its last taking.

    The order does not depend on the half-life; in a `Blend` it says how fast an item is forgotten. It reads ten
    half-lives, because what is older would count less than a thousandth, and keeps no memory.

    Parameters
    ----------
    half_life : float, default 1.0
        Periods after which a last taking counts half, above 0 and below 1,000,000.

    Raises
    ------
    PlanError
        `half_life` is out of range.

    Examples
    --------
    The item of the last row has the largest bias.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.recency import Recency
    >>> periods = simulated_periods("ranking")
    >>> bias = run_chain(MF(width=4, biases=True), Recency(), periods)[-1].weights["table.item"][:, -1]
    >>> int(bias.argmax()) == int(periods[-1].rows[-1, 1]), round(float(bias.max()), 2)
    (True, 1.0)
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
        """The last takings at the close of the root; the pre-trained weights are not used."""
        user, item = (logs.fields.index(name) for name in ("user", "item"))
        last = torch.zeros(logs.sizes[item], dtype=torch.float64)
        last.scatter_reduce_(0, logs.rows[:, item], decay_weights(logs, self.half_life), "amax")
        tables = from_parts(model, torch.zeros(logs.sizes[user], 0), torch.zeros(len(last), 0), last.float())
        return Checkpoint(logs.period, tables)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The last takings at the close of the newest period."""
        return self.start(model, checkpoint.weights, logs)
