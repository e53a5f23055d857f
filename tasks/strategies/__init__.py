"""Strategies: how a model is retrained, one a file."""

from __future__ import annotations

from typing import cast

from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder
from nightloop.tasks.retraining.strategy import Strategy


def build(part: Part) -> Strategy:
    """The strategy that a plan names.

    Parameters
    ----------
    part : Part
        `use`, the entry-point name, and `options`, the fields of its class. A strategy among the options is a name, or
        again a mapping of `use` and `options`.

    Returns
    -------
    Strategy
        The strategy with its options checked.

    Raises
    ------
    PlanError
        The name or an option is wrong. The message lists every mistake with what is legal.

    Examples
    --------
    >>> from nightloop.tasks.plan.plan import Part
    >>> from nightloop.tasks.strategies import build
    >>> learner = {"use": "FullRetrain", "options": {"window": 4}}
    >>> build(Part(use="AverageWeights", options={"learner": learner})).lookback
    4
    """
    return cast(Strategy, Builder({Strategy: "strategy"}).single("strategy", part.model_dump()))
