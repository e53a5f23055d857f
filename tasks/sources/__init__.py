"""Sources: where logs come from, one reader a data set or format."""

from __future__ import annotations

from typing import cast

from nightloop.tasks.lake.source import Source
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder


def build(part: Part) -> Source:
    """The source a plan names. Raises one PlanError that lists every mistake with what is legal."""
    builder = Builder()
    made = builder.plug_in("source", part.model_dump())
    builder.raise_mistakes()
    return cast(Source, made)
