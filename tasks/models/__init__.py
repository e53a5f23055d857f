"""Models: what is retrained, one architecture a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.plugins import Builder


def build(
    name: str, options: Mapping[str, object], fields: Sequence[str], numeric_count: int, history: int = 0
) -> Model:
    """Build a model by its name in a plan.

    A model that takes `fields`, `numeric` or `history` gets them from the plan's columns.

    Parameters
    ----------
    name : str
        Entry-point name of the model, as in `use: DeepFM`.
    options : mapping of str to object
        The model's other parameters.
    fields : sequence of str
        Names of the categorical fields, user and item first.
    numeric_count : int
        Number of numeric columns.
    history : int, default 0
        Number of earlier items that a row holds.

    Returns
    -------
    Model
        The model, without weights.

    Raises
    ------
    PlanError
        The model, an option or its value is not known. The message lists every mistake with what is legal.

    Examples
    --------
    >>> from nightloop.tasks.models import build
    >>> model = build("FM", {"width": 4}, fields=("user", "item", "device"), numeric_count=2)
    >>> model.fields, model.width
    (('user', 'item', 'device'), 5)
    """
    columns = {"fields": tuple(fields), "numeric": numeric_count, "history": history}
    return cast(Model, Builder().single("model", {"use": name, "options": options}, name, columns))
