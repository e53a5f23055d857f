"""Stack: a line through several strategies' logits, learned from every period before they train on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.stacked_weights import stack_weights
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys, require_shapes
from nightloop.tasks.retraining.members import (
    better_member,
    check_members,
    common_models,
    member_folders,
    pack_members,
    unpack_members,
    update_members,
)
from nightloop.tasks.retraining.prequential_loss import make_judge
from nightloop.tasks.retraining.stacking import Line, equal_line, update_line, without_members
from nightloop.tasks.retraining.strategy import Strategy, models_of
from nightloop.tasks.retraining.time_decay import check_half_life
from nightloop.tasks.training.predict import predict


@dataclass(frozen=True)
class Stack:
    """Serves a line through its members' logits: an online logistic regression, the form of `Blend` for clicks.

    Every member continues by itself. At the close of a period the members as they were before it predict its rows, and
    the intercept and the members' coefficients are updated on them. Then the members learn, and the line through their
    new logits is served. At the root it is their mean. The line also corrects a common level or scale of the logits.

    The floor: if the log loss of what the line would have served is larger, over the last `floor` nights, than that of a
    member, that member is served. A member that fails is left out of the night. Time and memory are the sums of the
    members', and a prediction costs as much as all of theirs.

    Parameters
    ----------
    members : tuple of Strategy
        Two or more different strategies.
    half_life : float, default 2.0
        Nights after which the rows of a period count half, above 0. A larger value makes the line steadier.
    floor : int, default 7
        Nights over which the line must not be worse than a member, 1 or more.

    Raises
    ------
    PlanError
        An option is out of range, or no model goes with all members.
    DataError
        From `update`: all members fail, or the memory is that of other members.

    References
    ----------
    Wolpert 1992, Stacked generalization.

    Examples
    --------
    The intercept and the coefficients of the two members at the end.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> from nightloop.tasks.strategies.no_update import NoUpdate
    >>> from nightloop.tasks.strategies.stack import Stack
    >>> strategy = Stack((NoUpdate(), FineTune()))
    >>> newest = run_chain(FM(["user", "item"], width=4), strategy, simulated_periods("ctr", rows=200))[-1]
    >>> print([round(number, 1) for number in newest.memory["line"].tolist()])
    [-0.2, 0.5, 0.7]
    """

    members: tuple[Strategy, ...]
    half_life: float = 2.0
    floor: int = 7
    families: ClassVar[tuple[str, ...]] = ("ctr",)
    composes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_members(self.members, "Stack")
        check_half_life("half_life", self.half_life, "nights")
        refuse_outside("floor", self.floor, ROUNDS, what="nights")
        if self.models is not None and not self.models:
            raise PlanError("members: there is no model that all of them go with")

    @property
    def lookback(self) -> int:
        """The longest of the members' lookbacks."""
        return max(member.lookback for member in self.members)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Names of the models that all members go with; None: all."""
        return common_models([models_of(member) for member in self.members])

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """All members start; the mean of their logits is served."""
        started, line = [member.start(model, weights, logs) for member in self.members], equal_line(len(self.members))
        served = stack_weights([one.weights for one in started], torch.from_numpy(line.mean))
        nights = torch.zeros(0, 1 + len(started), dtype=torch.float64)
        return Checkpoint(logs.period, served, {**_line_tensors(line), "nights": nights, **pack_members(started)})

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Update the line on the newest period, let each member learn, and serve the line through their new logits."""
        before, line, nights = self._load_memory(checkpoint)
        newest = logs.since(logs.period)
        if len(newest):
            alone = [one.weights for one in before]
            judge = make_judge(model, logs, checkpoint.period)
            rivals = [stack_weights(alone, torch.from_numpy(line.mean)), *alone]
            losses = torch.tensor([[-judge(one) for one in rivals]], dtype=torch.float64)
            nights = torch.cat([nights, losses])[-self.floor :]
            logits = torch.stack([predict(model, one, newest) for one in alone], 1).double()
            line = update_line(line, logits.numpy(), newest.label.double().numpy(), self.half_life)
        learned, failed = update_members(self.members, "Stack", model, before, logs)
        best = better_member(nights, failed)
        line_tonight = torch.from_numpy(without_members(line, failed))
        if best is not None:
            line_tonight = torch.zeros_like(line_tonight)
            line_tonight[1 + best] = 1.0
        served = stack_weights([one.weights for one in learned], line_tonight)
        return Checkpoint(logs.period, served, {**_line_tensors(line), "nights": nights, **pack_members(learned)})

    def _load_memory(self, checkpoint: Checkpoint) -> tuple[list[Checkpoint], Line, Tensor]:
        """Members, line and nights. Raises DataError if the memory is that of other members."""
        memory, count = checkpoint.memory, len(self.members)
        require_keys(memory, ["line", "precision", "nights", *member_folders(count)], "Stack")
        require_shapes(
            memory, {"line": torch.zeros(1 + count), "precision": torch.zeros(1 + count, 1 + count)}, "Stack"
        )
        line = Line(memory["line"].numpy(), memory["precision"].numpy())
        return unpack_members(memory, count, checkpoint.period), line, memory["nights"]


def _line_tensors(line: Line) -> dict[str, Tensor]:
    return {"line": torch.from_numpy(line.mean), "precision": torch.from_numpy(line.precision)}
