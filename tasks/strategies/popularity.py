"""Popularity: the control no personal model may hide that it is below; decayed counts written as MF weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Checkpoint, Weights
from tasks.models.mf import from_parts
from tasks.models.model import Model
from tasks.strategies.decay import decayed


@dataclass(frozen=True)
class Popularity:
    """Every user gets the items that were taken most of late: each taking counts half as much `half_life` periods on.

    It reads ten half-lives (what is older would count less than a thousandth) and remembers nothing. The item's bias is
    log(share x items): the logit that binary cross-entropy with uniform negatives would end at. `smoothing` is added to
    every item's count. Users without a row get the same list only where MF has biases.
    """

    half_life: float = 1.0
    smoothing: float = 0.01
    models: ClassVar[tuple[str, ...]] = ("MF",)

    def __post_init__(self) -> None:
        if not 0 < self.half_life < 1e6:
            raise ValueError(f"half_life: given {self.half_life}; it is in periods, above 0 and below 1,000,000")
        if not 0 < self.smoothing < 1e6:
            raise ValueError(f"smoothing: given {self.smoothing}; it is a count, above 0 and below 1,000,000")

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
        taken = logs.rows[:, logs.fields.index("item")]
        count = torch.bincount(taken, decayed(logs, self.half_life), minlength=item) + self.smoothing
        logit = torch.log(count / count.sum() * item).float()
        return Checkpoint(logs.period, from_parts(model, torch.zeros(user, 0), torch.zeros(item, 0), logit))
