"""Stacked weights: several members' weights for one click model, and the line through their logits that is served.

The first member's weights have their usual names; those of the others are in the folders `stack/1`, `stack/2`, ...
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nightloop.tasks.modules.checkpoint import Weights, pack, unpack

FOLDER, LINE = "stack", "stack.line"  # the intercept, and a number for each member: [1 + members]


def stack_weights(members: Sequence[Weights], line: Tensor) -> dict[str, Tensor]:
    """Weights whose logits are the line through the members' logits.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.modules.stacked_weights import stack_weights
    >>> sorted(stack_weights([{"bias": torch.ones(1)}, {"bias": torch.zeros(1)}], torch.tensor([0.1, 0.5, 0.5])))
    ['bias', 'stack.line', 'stack/1/bias']
    """
    stacked = {**members[0], LINE: line.float()}
    for number, member in enumerate(members[1:], start=1):
        stacked |= pack(f"{FOLDER}/{number}", member)
    return stacked


def is_stacked(weights: Weights) -> bool:
    """Whether these are several members' weights."""
    return LINE in weights


def first_member(weights: Weights) -> dict[str, Tensor]:
    """The first member's weights, or all of them if they are not stacked."""
    return {name: tensor for name, tensor in weights.items() if name != LINE and not name.startswith(f"{FOLDER}/")}


def stacked_members(weights: Weights) -> tuple[list[dict[str, Tensor]], Tensor]:
    """The members' weights and the line."""
    line = weights[LINE]
    others = [unpack(f"{FOLDER}/{number}", weights) for number in range(1, len(line) - 1)]
    return [first_member(weights), *others], line
