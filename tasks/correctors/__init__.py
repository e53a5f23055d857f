"""Correctors: classes that correct predictions at serving time, one a file."""

from __future__ import annotations

from collections.abc import Mapping

from nightloop.tasks.correction.corrector import Corrector
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder


def build_all(parts: Mapping[str, Part]) -> dict[str, Corrector]:
    """The correctors of a plan, in its order.

    Parameters
    ----------
    parts : mapping of str to Part
        By label: `use`, the entry-point name, and `options`, the fields of its class.

    Returns
    -------
    dict of str to Corrector
        By label, with their options checked.

    Raises
    ------
    PlanError
        A name or an option is wrong. The message lists every mistake with what is legal.

    Examples
    --------
    >>> from nightloop.tasks.correctors import build_all
    >>> from nightloop.tasks.plan.plan import Part
    >>> build_all({"rate": Part(use="Recalibration", options={"form": "platt"})})["rate"].half_life
    20000
    """
    builder = Builder()
    correctors = {
        label: builder.plug_in("corrector", part.model_dump(), f"correctors.{label}") for label, part in parts.items()
    }
    builder.raise_mistakes()
    return correctors
