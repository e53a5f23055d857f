"""Blend: a weighted sum of several strategies' scores, weighted every night by what would have served best."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.leading_metric import CATALOGUE
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.blend_weights import Listing, fit_blend_weights
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes
from nightloop.tasks.retraining.conditional_logit import Choices
from nightloop.tasks.retraining.member_scores import (
    EDGES,
    RIVALS,
    ChoiceSets,
    Member,
    activity_buckets,
    choice_sets,
    column_scales,
    compose,
    member_of,
)
from nightloop.tasks.retraining.members import (
    better_member,
    check_members,
    member_folders,
    pack_members,
    unpack_members,
    update_members,
)
from nightloop.tasks.retraining.prequential_loss import mean_metric, night_candidates, weights_at_close
from nightloop.tasks.retraining.strategy import ALL_HISTORY, Strategy, models_of

log = logging.getLogger(__name__)
BUCKETS = len(EDGES) + 1


@dataclass(frozen=True)
class ScoreWeights:
    """What the members' scores count for."""

    weights: Tensor  # [buckets, K] float64, of standardised scores
    scales: Tensor  # [K] float64: standard deviations of the columns; 0: the column says nothing

    @property
    def coefficients(self) -> Tensor:
        """What the scores are multiplied by: [buckets, K]."""
        return torch.where(self.scales > 0, self.weights / self.scales.clamp(min=1e-30), 0.0)


@dataclass(frozen=True)
class Blend:
    """Serves a weighted sum of its members' standardised scores: what users of this log go by, at tonight's weights.

    Every member continues by itself. At the close of a period the members as they were before it are compared on it:
    the weights, 0 or more, are those under which the items that were taken are likeliest among 100 candidates that were
    not (conditional logit), in the last two periods. Users who took nothing yet, 1 to 4 times, and 5 times or more have
    weights of their own, which are drawn towards the weights of all users as if by `shrinkage` rows. Where these leave only pair
    scores, users who took nothing yet have the weights that would be best without these. Then the members
    learn, and the sum of their new scores is served: tables side by side, and pair scores.

    The floor: if the plan's leading metric of the blend over the last `floor` nights is below that of a member, against
    the candidates of the score step, that member is served. A member that fails is left out of the night. At the root
    all members count alike. All history is read, and time and memory are the sums of the members'.

    Parameters
    ----------
    members : tuple of Strategy
        Two or more different strategies for MF: learners, `Popularity`, `Recency`, `ItemKNN`, `Repeat`, `ALS`, `BPR`,
        or wrappers of them.
    shrinkage : float, default 100.0
        Rows that the weights of all users count for in a bucket, above 0. A larger value makes the buckets more alike.
    floor : int, default 7
        Nights over which the blend must not be below a member, 1 or more.

    Raises
    ------
    PlanError
        An option is out of range, or the members cannot be added.
    DataError
        From `update`: all members fail, or the memory is that of other members.

    References
    ----------
    McFadden 1974, Conditional logit analysis of qualitative choice behavior. Wolpert 1992, Stacked generalization.

    Examples
    --------
    The weights of popularity and of similar items, which has two, for users who took five items or more.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.blend import Blend
    >>> from nightloop.tasks.strategies.item_knn import ItemKNN
    >>> from nightloop.tasks.strategies.popularity import Popularity
    >>> newest = run_chain(MF(width=4), Blend((Popularity(), ItemKNN())), simulated_periods("ranking", rows=200))[-1]
    >>> print([round(weight, 1) for weight in newest.memory["weights"][2].tolist()])
    [0.6, 0.0, 0.0]
    """

    members: tuple[Strategy, ...]
    shrinkage: float = 100.0
    floor: int = 7
    search_space: ClassVar[SearchSpace] = {"shrinkage": NumberRange(10.0, 3000.0, log=True)}
    families: ClassVar[tuple[str, ...]] = ("ranking",)
    reads_ranking: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    lookback: ClassVar[int] = ALL_HISTORY
    models: ClassVar[tuple[str, ...]] = ("MF",)  # whose scores add

    def __post_init__(self) -> None:
        check_members(self.members, "Blend")
        for member in self.members:
            models = models_of(member)
            if models is not None and "MF" not in models:
                raise PlanError(
                    f"members: {type(member).__name__} works with {', '.join(models) or 'no model'}; only scores of MF can be added"
                )
        if not 0 < self.shrinkage < 1e9:
            raise PlanError(f"shrinkage: given {self.shrinkage}; it counts rows, above 0 and below 1,000,000,000")
        refuse_outside("floor", self.floor, ROUNDS, what="nights")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """All members start, and their scores count alike."""
        started = [member.start(model, weights, logs) for member in self.members]
        members = [member_of(model, one.weights) for one in started]
        scales = column_scales(members, night_candidates(logs), logs)
        fitted = ScoreWeights(torch.ones(BUCKETS, len(scales), dtype=torch.float64), scales)
        served = compose(model, members, fitted.coefficients, activity_buckets(logs, logs.period))
        nights = torch.zeros(0, 1 + len(started), dtype=torch.float64)
        return Checkpoint(logs.period, served, self._memory(started, fitted, _no_choices(len(scales)), nights))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Compare the members on the newest period, let each learn, and weigh the sum of their scores anew."""
        before, fitted, earlier, nights = self._load_memory(checkpoint)
        candidates, newest = night_candidates(logs), earlier
        if len(candidates.logs):
            alone = [weights_at_close(one.weights, logs, checkpoint.period) for one in before]
            past = [member_of(model, one) for one in alone]
            bucket = activity_buckets(logs, checkpoint.period)
            newest = _standardised(choice_sets(past, candidates, bucket), fitted.scales)
            if len(earlier.count):  # else the weights were not fitted yet
                known = torch.cat([bucket[: len(past[0].users) - 1], bucket[-1:]])
                rivals = [compose(model, past, fitted.coefficients, known), *alone]
                metrics = [mean_metric(model, one, candidates, logs.metric) for one in rivals]
                nights = torch.cat([nights, torch.tensor([metrics], dtype=torch.float64)])[-self.floor :]
        learned, failed = update_members(self.members, "Blend", model, before, logs)
        members = [member_of(model, one.weights) for one in learned]
        free = np.array([number not in failed for number, one in enumerate(members) for _ in one.columns])
        if len(candidates.logs):
            weights = self._fit([earlier, newest], fitted, free, _pair_columns(members), logs)
            fitted = ScoreWeights(weights, column_scales(members, candidates, logs))
        usable = ScoreWeights(fitted.weights * torch.from_numpy(free), fitted.scales)
        served = compose(model, members, usable.coefficients, activity_buckets(logs, logs.period))
        best = better_member(nights, failed)
        chosen = served if best is None else learned[best].weights
        return Checkpoint(logs.period, chosen, self._memory(learned, fitted, newest, nights))

    def _fit(
        self,
        sets: Sequence[ChoiceSets],
        before: ScoreWeights,
        free: NDArray[np.bool_],
        pairs: NDArray[np.bool_],
        logs: Logs,
    ) -> Tensor:
        """The weights of every bucket [buckets, K], by the choices of the last periods."""
        features = torch.cat([one.scores for one in sets]).double().numpy()
        choices = Choices(features, torch.cat([one.count for one in sets]).numpy())
        bucket = torch.cat([one.bucket for one in sets]).numpy()
        useful = free & (choices.scales() > 0)
        if not useful.any():
            log.warning("no member of the blend tells the items of this period apart: the weights of before stay")
            return before.weights
        many = logs.sizes[1] if logs.metric.startswith(CATALOGUE) else logs.ranking.negatives
        listing = Listing(logs.metric, many)
        found = fit_blend_weights(choices, bucket, BUCKETS, self.shrinkage, useful, pairs, listing)
        return torch.from_numpy(found)

    def _memory(
        self, members: Sequence[Checkpoint], fitted: ScoreWeights, newest: ChoiceSets, nights: Tensor
    ) -> dict[str, Tensor]:
        memory: dict[str, Tensor] = {"weights": fitted.weights, "scales": fitted.scales, "nights": nights}
        memory |= {
            "choices/scores": newest.scores.half(),
            "choices/count": newest.count,
            "choices/bucket": newest.bucket,
        }
        return {**memory, **pack_members(members)}

    def _load_memory(self, checkpoint: Checkpoint) -> tuple[list[Checkpoint], ScoreWeights, ChoiceSets, Tensor]:
        """Members, weights, choices of the period before and nights. Raises DataError if other members made them."""
        memory, count = checkpoint.memory, len(self.members)
        names = ["weights", "scales", "nights", "choices/scores", "choices/count", "choices/bucket"]
        require_keys(memory, [*names, *member_folders(count)], "Blend")
        members = unpack_members(memory, count, checkpoint.period)
        columns = sum(2 if "pairs.start" in one.weights else 1 for one in members)
        require_shapes(memory, {"weights": torch.zeros(BUCKETS, columns), "scales": torch.zeros(columns)}, "Blend")
        choices = unpack("choices", memory)
        earlier = ChoiceSets(choices["scores"].float(), choices["count"], choices["bucket"])
        return members, ScoreWeights(memory["weights"], memory["scales"]), earlier, memory["nights"]


def _standardised(sets: ChoiceSets, scales: Tensor) -> ChoiceSets:
    """The choices with each column divided by its standard deviation; 0 if that is 0."""
    unit = torch.where(scales > 0, 1 / scales.clamp(min=1e-30), 0.0).float()
    return ChoiceSets((sets.scores * unit).clamp(-6e4, 6e4), sets.count, sets.bucket)


def _pair_columns(members: Sequence[Member]) -> NDArray[np.bool_]:
    """Which columns are pair scores: [K]."""
    return np.array([number > 0 for member in members for number in range(len(member.columns))])


def _no_choices(columns: int) -> ChoiceSets:
    none = torch.zeros(0, dtype=torch.int64)
    return ChoiceSets(torch.zeros(0, 1 + RIVALS, columns), none, none)
