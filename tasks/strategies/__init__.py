"""Strategies: how a model is retrained, one a file."""

from __future__ import annotations

from typing import cast

from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder
from nightloop.tasks.retraining.strategy import Strategy


def build(part: Part) -> Strategy:
    """The strategy a plan names. Raises one PlanError that lists every mistake with what is legal."""
    builder = Builder({Strategy: "strategy"})
    made = builder.plug_in("strategy", part.model_dump())
    builder.raise_mistakes()
    return cast(Strategy, made)
