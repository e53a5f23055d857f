"""Correctors: what may correct a prediction at serving time, one a file."""

from __future__ import annotations

from collections.abc import Mapping

from nightloop.tasks.correction.corrector import Corrector
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder


def build_all(parts: Mapping[str, Part]) -> dict[str, Corrector]:
    """The correctors of a plan, in its order. Raises one PlanError that lists every mistake with what is legal."""
    builder = Builder()
    made = {
        label: builder.plug_in("corrector", part.model_dump(), f"correctors.{label}") for label, part in parts.items()
    }
    builder.raise_mistakes()
    return made
