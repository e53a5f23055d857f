"""MF weights: user vectors, item vectors and item biases from another library, written as MF's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError


def inner_width(model: Model) -> int:
    """Columns that vectors can use beside the item's bias. Raises PlanError for any model but MF."""
    if not isinstance(model, MF):
        raise PlanError(
            f"only MF can hold vectors of another library; given {type(model).__name__}. Set the plan's model to MF"
        )
    columns = model.factor_width - (0 if model.biases else 1)
    if columns < 1:
        raise PlanError(
            f"MF(width={model.factor_width}) without biases has no column for the items' bias; set width to 2 or more"
        )
    return columns


def from_parts(model: Model, users: Tensor, items: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """MF weights whose logits are `users @ items.T + bias`: users [U, w], items [I, w], bias [I].

    w is at most `inner_width`, otherwise PlanError is raised. If the model has no biases, the last column is one for
    every user. Users who are not in the table have a row of zeros and get no bias.
    """
    columns = inner_width(model)
    tables = {"table.user": torch.zeros(len(users), model.width), "table.item": torch.zeros(len(items), model.width)}
    for name, factors in (("table.user", users), ("table.item", items)):
        if factors.shape[1] > columns:
            raise PlanError(f"{name}: given {factors.shape[1]} columns, at most {columns} fit")
        tables[name][:, : factors.shape[1]] = factors
    if not getattr(model, "biases", False):
        tables["table.user"][:, columns] = 1
    tables["table.item"][:, columns] = bias
    return tables
