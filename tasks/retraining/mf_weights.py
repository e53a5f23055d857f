"""Parts: user vectors, item vectors and item biases that were made elsewhere, written as MF's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError


def inner_width(model: Model) -> int:
    """Columns that are left for vectors once the item's bias has its place. Raises PlanError for any model but MF."""
    if not isinstance(model, MF):
        raise PlanError(f"only MF can hold vectors that were made elsewhere; given {type(model).__name__}")
    left = model.factor_width - (0 if model.biases else 1)
    if left < 1:
        raise PlanError(f"MF(width={model.factor_width}) without biases has no column to spare; give it a width of 2")
    return left


def from_parts(model: Model, users: Tensor, items: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """MF weights whose logits are `users @ items.T + bias`: users [U, w], items [I, w], bias [I].

    w is at most `inner_width`, or ValueError is raised. Without biases in the model, the last column is one for
    every user: users who are not in the table, whose row is nought, lose the bias then.
    """
    room = inner_width(model)
    tables = {"table.user": torch.zeros(len(users), model.width), "table.item": torch.zeros(len(items), model.width)}
    for name, given in (("table.user", users), ("table.item", items)):
        if given.shape[1] > room:
            raise PlanError(f"{name}: given {given.shape[1]} columns, there is room for {room}")
        tables[name][:, : given.shape[1]] = given
    if not getattr(model, "biases", False):
        tables["table.user"][:, room] = 1
    tables["table.item"][:, room] = bias
    return tables
