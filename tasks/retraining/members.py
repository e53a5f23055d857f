"""Members: several strategies in one checkpoint. One that fails is left out of the night, and none is above what is served for long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import without_state
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.retraining.checkpoint_memory import update_learner
from nightloop.tasks.retraining.strategy import Strategy, models_of

log = logging.getLogger(__name__)


def check_members(members: Sequence[Strategy], wrapper: str) -> None:
    """Raises PlanError if there are fewer than two, or two that are the same."""
    if len(members) < 2:
        raise PlanError(f"members: given {len(members)}; {wrapper} adds the scores of 2 or more")
    for number, member in enumerate(members):
        if member in members[:number]:
            raise PlanError(f"members: {members.index(member)} and {number} are the same; name each once")


def common_models(named: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Names of the models that go with all of several strategies. None: all models, for each and for the result."""
    limited = [models for models in named if models is not None]
    return tuple(name for name in limited[0] if all(name in models for models in limited)) if limited else None


def update_members(
    members: Sequence[Strategy], wrapper: str, model: Model, before: Sequence[Checkpoint], logs: Logs
) -> tuple[list[Checkpoint], frozenset[int]]:
    """The members after the period, and the numbers of those that failed and stay as they are. DataError if all do."""
    learned, failed = [], {}
    for number, (member, checkpoint) in enumerate(zip(members, before, strict=True)):
        try:
            learned.append(update_learner(member, f"{wrapper}'s members[{number}]", model, checkpoint, logs))
        except DataError as error:
            failed[number] = str(error)
            learned.append(Checkpoint(logs.period, checkpoint.weights, checkpoint.memory))
            log.warning("a member is left out tonight: %s", error)
    if len(failed) == len(members):
        raise DataError(f"all members failed: {'; '.join(failed.values())}")
    return learned, frozenset(failed)


def better_member(nights: Tensor, failed: frozenset[int]) -> int | None:
    """The member whose mean over the nights [n, 1 + members] is largest, if it is above the first column's; else None."""
    if not len(nights):
        return None
    together, *members = nights.mean(0).tolist()
    able = [number for number in range(len(members)) if number not in failed]
    best = max(able, key=lambda number: members[number])
    return best if members[best] > together else None


@dataclass(frozen=True)
class TrainedMember:
    """A member that was trained already, as a strategy of the plan by itself: it returns what that made."""

    member: Strategy
    checkpoint: Checkpoint

    @property
    def lookback(self) -> int:
        """The member's."""
        return self.member.lookback

    @property
    def models(self) -> tuple[str, ...] | None:
        """The member's."""
        return models_of(self.member)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """What was made."""
        return self.checkpoint

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """What was made."""
        return self.checkpoint


def members_of(strategy: object) -> tuple[str, tuple[Strategy, ...]]:
    """The option that holds a strategy's members, and the members; none of a strategy that trains itself."""
    for option in ("members", "candidates"):
        if hasattr(strategy, option):
            return option, getattr(strategy, option)
    return "", ()


def training_stages(strategies: Mapping[str, Strategy]) -> tuple[list[str], list[str]]:
    """The labels in the two stages in which they are trained: those that have members last, which may be the others."""
    composed = [label for label, strategy in strategies.items() if members_of(strategy)[1]]
    return [label for label in strategies if label not in composed], composed


def with_trained_member(strategy: Strategy, before: Checkpoint | None, other: Strategy, pair: TrainedPair) -> Strategy:
    """The strategy without the training of its members that are `other` and begin where it began.

    `before` is the strategy's checkpoint of the night before, `pair` those of the other strategy; None at the root. The
    result of the strategy is the same to the bit.
    """
    option, members = members_of(strategy)
    known: list[Strategy] = []
    for number, member in enumerate(members):
        folder = f"{option}/{number}"
        same = member == other and (before is None) == (pair.before is None)
        if same and before is not None and pair.before is not None:
            own = unpack(folder, before.memory)
            same = _equal(unpack("weights", own), without_state(pair.before.weights)) and _equal(
                unpack("memory", own), pair.before.memory
            )
        after = Checkpoint(pair.after.period, without_state(pair.after.weights), pair.after.memory)
        known.append(TrainedMember(member, after) if same else member)
    return replace(strategy, **{option: tuple(known)}) if known != list(members) else strategy  # type: ignore[type-var]


class TrainedPair(NamedTuple):
    """A strategy's checkpoint of the night before, None at the root, and of this night."""

    before: Checkpoint | None
    after: Checkpoint


def _equal(one: Weights, two: Weights) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def pack_members(members: Sequence[Checkpoint], folder: str = "members") -> dict[str, Tensor]:
    """The members' checkpoints as a memory."""
    memory: dict[str, Tensor] = {}
    for number, checkpoint in enumerate(members):
        memory |= pack(f"{folder}/{number}/weights", checkpoint.weights)
        memory |= pack(f"{folder}/{number}/memory", checkpoint.memory)
    return memory


def member_folders(count: int, folder: str = "members") -> list[str]:
    """The folders that `pack_members` fills."""
    return [f"{folder}/{number}/weights/" for number in range(count)]


def unpack_members(memory: Weights, count: int, period: int, folder: str = "members") -> list[Checkpoint]:
    """What `pack_members` wrote."""
    parts = [unpack(f"{folder}/{number}", memory) for number in range(count)]
    return [Checkpoint(period, unpack("weights", part), unpack("memory", part)) for part in parts]
