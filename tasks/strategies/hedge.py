"""Hedge: several strategies side by side; whichever would have served best so far is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes, update_learner
from nightloop.tasks.retraining.prequential_loss import evaluation_rows, loss
from nightloop.tasks.retraining.strategy import Strategy


@dataclass(frozen=True)
class Hedge:
    """Prequential choice: every candidate goes on by itself, and the one with the largest weight is served.

    At the close of a period, before anyone learns from it, each candidate is asked how well it would have served it:
    its weight becomes w^`forget` exp(-`eta` loss), made to add up to one with the others'. The loss is the mean binary
    cross-entropy, a ranking's with one negative a positive. Ties go to the candidate named first, so that it serves
    until there is something to tell by. `forget` 1 lets all periods count alike and 0 the newest alone. `share` gives
    that part of all weight to all alike after every period, so that a candidate can come back soon; without it `eta`
    does not matter to who is largest. Time and memory are the sum of the candidates'.
    Source: Freund and Schapire 1997 (Hedge); Herbster and Warmuth 1998 (fixed share).
    """

    candidates: tuple[Strategy, ...]
    eta: float = 1.0
    forget: float = 1.0
    share: float = 0.0

    def __post_init__(self) -> None:
        if not self.candidates:
            raise PlanError("candidates: given none; there must be one to serve")
        if not self.eta > 0:
            raise PlanError(f"eta: given {self.eta}; how fast weights follow losses is above 0")
        if not 0 <= self.forget <= 1:
            raise PlanError(f"forget: given {self.forget}; what earlier periods count is 0 to 1")
        if not 0 <= self.share < 1:
            raise PlanError(f"share: given {self.share}; the part that is given to all alike is 0 <= share < 1")
        if self.models is not None and not self.models:
            raise PlanError("candidates: there is no model that all of them go with")

    @property
    def lookback(self) -> int:
        """The longest of the candidates'."""
        return max(candidate.lookback for candidate in self.candidates)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models all candidates go with; None: all."""
        named = [models for c in self.candidates if (models := getattr(c, "models", None)) is not None]
        return tuple(name for name in named[0] if all(name in models for models in named)) if named else None

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """All candidates begin alike; the first one is served."""
        begun = [candidate.start(model, weights, logs) for candidate in self.candidates]
        alike = torch.full((len(begun),), -log(len(begun)), dtype=torch.float64)
        return self._served(begun, alike, logs)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Judge all candidates by the newest period, then let each learn. ValueError where one diverges, naming it."""
        chain = self._recalled(checkpoint)
        log_weights = self._weighed(model, chain, checkpoint.memory["log_weights"], logs.since(logs.period))
        learned = [
            update_learner(candidate, f"Hedge's candidates[{place}]", model, one, logs)
            for place, (candidate, one) in enumerate(zip(self.candidates, chain, strict=True))
        ]
        return self._served(learned, log_weights, logs)

    def _weighed(self, model: Model, chain: Sequence[Checkpoint], before: Tensor, newest: Logs) -> Tensor:
        """Logarithms of the weights [candidates] float64 after `newest`; as they were where it has no rows."""
        if not len(newest):
            return before
        rows = evaluation_rows(model, newest)
        losses = torch.tensor([loss(model, one.weights, rows) for one in chain], dtype=torch.float64)
        moved = torch.log_softmax(self.forget * before - self.eta * losses, 0)
        return torch.log((1 - self.share) * moved.exp() + self.share / len(chain)) if self.share else moved

    def _served(self, chain: Sequence[Checkpoint], log_weights: Tensor, logs: Logs) -> Checkpoint:
        """The checkpoint: the first of the largest weight is served, all go on in memory."""
        memory: dict[str, Tensor] = {"log_weights": log_weights}
        for place, one in enumerate(chain):
            memory |= pack(f"candidates/{place}/weights", one.weights)
            memory |= pack(f"candidates/{place}/memory", one.memory)
        best = int((log_weights == log_weights.max()).nonzero()[0])
        return Checkpoint(logs.period, chain[best].weights, memory)

    def _recalled(self, checkpoint: Checkpoint) -> list[Checkpoint]:
        """The candidates' own checkpoints. Raises PlanError if the memory is not Hedge's, of as many candidates."""
        memory, count = checkpoint.memory, len(self.candidates)
        require_keys(memory, ["log_weights", *(f"candidates/{place}/weights/" for place in range(count))], "Hedge")
        require_shapes(memory, {"log_weights": torch.zeros(count)}, "Hedge")
        own = [unpack(f"candidates/{place}", memory) for place in range(count)]
        return [Checkpoint(checkpoint.period, unpack("weights", one), unpack("memory", one)) for one in own]
