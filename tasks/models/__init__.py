"""Models: what is retrained, one architecture a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.plugins import Builder


def build(
    name: str, options: Mapping[str, object], fields: Sequence[str], numeric_count: int, history: int = 0
) -> Model:
    """The model `name` with `options`. A model that takes `fields`, `numeric` or `history` gets them from the plan's
    columns.

    Raises one PlanError that lists every mistake with what is legal.
    """
    builder, columns = Builder(), {"fields": tuple(fields), "numeric": numeric_count, "history": history}
    made = builder.plug_in("model", {"use": name, "options": options}, name, columns)
    builder.raise_mistakes()
    return cast(Model, made)
