"""Popularity: the control no personal model may hide that it is below; decayed counts written as MF weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.mf_weights import from_parts
from nightloop.tasks.retraining.time_decay import popularity


@dataclass(frozen=True)
class Popularity:
    """Every user gets the items that were taken most of late: each taking counts half as much `half_life` periods on.

    It reads ten half-lives (what is older would count less than a thousandth) and remembers nothing. The item's bias is
    log(1 + count), so that an item without a row stands where one stands that nobody took. Users without a row get the
    same list only where MF has biases.
    """

    half_life: float = 1.0
    models: ClassVar[tuple[str, ...]] = ("MF",)

    def __post_init__(self) -> None:
        if not 0 < self.half_life < 1e6:
            raise PlanError(f"half_life: given {self.half_life}; it is in periods, above 0 and below 1,000,000")

    @property
    def lookback(self) -> int:
        """Ten half-lives."""
        return ceil(10 * self.half_life)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The list at the close of the root; the pre-trained weights are not used."""
        return self._listed(model, logs)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The list at the close of the newest period."""
        return self._listed(model, logs)

    def _listed(self, model: Model, logs: Logs) -> Checkpoint:
        user, item = (logs.sizes[logs.fields.index(name)] for name in ("user", "item"))
        bias = popularity(logs, self.half_life)
        return Checkpoint(logs.period, from_parts(model, torch.zeros(user, 0), torch.zeros(item, 0), bias))
