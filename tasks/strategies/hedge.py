"""Hedge: several strategies side by side; the one that would have served best so far is served, or a mean of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar, Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes, update_learner
from nightloop.tasks.retraining.member_scores import member_of, mix_members
from nightloop.tasks.retraining.members import common_models, member_folders, pack_members, unpack_members
from nightloop.tasks.retraining.prequential_loss import make_judge
from nightloop.tasks.retraining.strategy import Strategy, models_of


@dataclass(frozen=True)
class Hedge:
    """Prequential choice: every candidate continues by itself, and the one with the largest weight is served.

    At the close of a period, before training on it, each candidate's loss on it is measured. The weight of the
    candidate becomes w^`forget` exp(-`eta` loss), divided by the sum over all candidates. The loss of a ranking is 1
    minus the plan's leading metric (NDCG@20) against the candidates that the night's score step deals, so that scores of
    any scale compare; that of clicks is the mean log loss. Ties go to the candidate named first, so that it serves until
    there is a difference. Time and memory are the sums of the candidates'. Of rankings all history is read, because
    what a user took before is no candidate.

    Parameters
    ----------
    candidates : tuple of Strategy
        The strategies to choose from, one or more.
    eta : float, default 1.0
        How fast weights follow losses, above 0. Without `share` it does not change which weight is largest.
    forget : float, default 1.0
        How much earlier periods count, 0 to 1. At 1 all periods count alike, at 0 only the newest counts.
    share : float, default 0.0
        Part of all weight that is distributed evenly after every period, 0 <= share < 1, so that a candidate can come
        back soon.
    serve : {"pick", "mix"}, default "pick"
        `pick`: the candidate of the largest weight. `mix`: the mean of the candidates' standardised scores by their
        weights, for rankings with MF; `eta` then says how fast the mean moves to the best. The losses of rankings are
        between 0 and 1, so that with eta = sqrt(8 log(n) / T) the loss of T periods is at most sqrt(T log(n) / 2) above
        that of the best of n candidates, if a mean loses no more than its parts do on average.

    Raises
    ------
    PlanError
        An option is out of range, no candidate is given, or no model goes with all of them.
    DataError
        From `update`: a candidate fails (the message names it), or the memory is that of other candidates.

    References
    ----------
    Freund and Schapire 1997, A decision-theoretic generalization of on-line learning (Hedge).
    Herbster and Warmuth 1998, Tracking the best expert (fixed share).

    Examples
    --------
    The weights of the two candidates at the end: fine-tuning is served.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.hedge import Hedge
    >>> from nightloop.tasks.strategies.no_update import NoUpdate
    >>> strategy = Hedge((NoUpdate(), FineTune()))
    >>> newest = run_chain(FM(["user", "item"], width=4), strategy, simulated_periods("ctr", rows=200))[-1]
    >>> print([round(weight, 2) for weight in newest.memory["log_weights"].exp().tolist()])
    [0.47, 0.53]
    """

    candidates: tuple[Strategy, ...]
    eta: float = 1.0
    forget: float = 1.0
    share: float = 0.0
    serve: Literal["pick", "mix"] = "pick"
    search_space: ClassVar[SearchSpace] = {
        "eta": NumberRange(0.3, 100.0, log=True),  # without `share` it matters to `mix` alone
        "forget": NumberRange(0.5, 1.0),
    }
    reads_ranking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.candidates:
            raise PlanError("candidates: given none; there must be one to serve")
        if not self.eta > 0:
            raise PlanError(f"eta: given {self.eta}; how fast weights follow losses is above 0")
        if not 0 <= self.forget <= 1:
            raise PlanError(f"forget: given {self.forget}; what earlier periods count is 0 to 1")
        if not 0 <= self.share < 1:
            raise PlanError(f"share: given {self.share}; the part that is given to all alike is 0 <= share < 1")
        if self.serve not in ("pick", "mix"):
            raise PlanError(f"serve: given {self.serve!r}; allowed are 'pick' and 'mix'")
        if self.models is not None and not self.models:
            mixed = "; scores can be mixed with MF alone" if self.serve == "mix" else ""
            raise PlanError(f"candidates: there is no model that all of them go with{mixed}")

    @property
    def composes(self) -> bool:
        """Whether what it serves may have pair scores."""
        return self.serve == "mix" or any(getattr(candidate, "composes", False) for candidate in self.candidates)

    @property
    def families(self) -> tuple[str, ...]:
        """Scores are mixed of rankings alone."""
        return ("ranking",) if self.serve == "mix" else ("ranking", "ctr")

    @property
    def lookback(self) -> int:
        """The longest of the candidates' lookbacks."""
        return max(candidate.lookback for candidate in self.candidates)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models that all candidates go with, and of them MF for a mean of scores; None: all."""
        named = [models_of(candidate) for candidate in self.candidates]
        return common_models([*named, ("MF",)] if self.serve == "mix" else named)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """All candidates start with equal weights; the first one is served."""
        checkpoints = [candidate.start(model, weights, logs) for candidate in self.candidates]
        log_weights = torch.full((len(checkpoints),), -log(len(checkpoints)), dtype=torch.float64)
        return self._make_checkpoint(model, checkpoints, log_weights, logs, None)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Score all candidates on the newest period, then let each learn. A DataError names the one that fails."""
        checkpoints = self._load_candidates(checkpoint)
        log_weights = self._update_log_weights(model, checkpoints, checkpoint.memory["log_weights"], logs)
        learned = [
            update_learner(candidate, f"Hedge's candidates[{number}]", model, before, logs)
            for number, (candidate, before) in enumerate(zip(self.candidates, checkpoints, strict=True))
        ]
        return self._make_checkpoint(model, learned, log_weights, logs, checkpoint.memory.get("scales"))

    def _update_log_weights(
        self, model: Model, checkpoints: Sequence[Checkpoint], before: Tensor, logs: Logs
    ) -> Tensor:
        """Logarithms of the weights [candidates] float64 after the newest period; unchanged if it has no rows."""
        if not len(logs.since(logs.period)):
            return before
        judge = make_judge(model, logs, checkpoints[0].period)
        losses = torch.tensor([judge(checkpoint.weights) for checkpoint in checkpoints], dtype=torch.float64)
        updated = torch.log_softmax(self.forget * before - self.eta * losses, 0)
        return torch.log((1 - self.share) * updated.exp() + self.share / len(checkpoints)) if self.share else updated

    def _make_checkpoint(
        self, model: Model, checkpoints: Sequence[Checkpoint], log_weights: Tensor, logs: Logs, scales: Tensor | None
    ) -> Checkpoint:
        """The checkpoint: the first of the largest weight is served, or the mean; all are kept in memory."""
        memory = {"log_weights": log_weights, **pack_members(checkpoints, "candidates")}
        if self.serve == "pick":
            best = int((log_weights == log_weights.max()).nonzero()[0])
            return Checkpoint(logs.period, checkpoints[best].weights, memory)
        members = [member_of(model, checkpoint.weights) for checkpoint in checkpoints]
        before = torch.zeros_like(log_weights) if scales is None else scales
        served, memory["scales"] = mix_members(model, members, log_weights.exp(), logs, before)
        return Checkpoint(logs.period, served, memory)

    def _load_candidates(self, checkpoint: Checkpoint) -> list[Checkpoint]:
        """The candidates' own checkpoints. Raises DataError if the memory is not that of as many candidates."""
        memory, count = checkpoint.memory, len(self.candidates)
        names = ["log_weights", *(["scales"] if self.serve == "mix" else []), *member_folders(count, "candidates")]
        require_keys(memory, names, "Hedge")
        require_shapes(memory, {"log_weights": torch.zeros(count)}, "Hedge")
        return unpack_members(memory, count, checkpoint.period, "candidates")
