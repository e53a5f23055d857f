"""Sources: where logs come from, one reader a data set or format."""

from __future__ import annotations

from typing import cast

from nightloop.tasks.lake.source import Source
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Builder


def build(part: Part) -> Source:
    """Build the source that a plan names.

    Parameters
    ----------
    part : Part
        `use` is the source's entry-point name, `options` are the fields of its dataclass.

    Returns
    -------
    Source
        The source. Nothing has been read yet.

    Raises
    ------
    PlanError
        The source, an option or its value is not known. The message lists every mistake with what is legal.

    Examples
    --------
    >>> from nightloop.tasks.plan.plan import Part
    >>> from nightloop.tasks.sources import build
    >>> build(Part(use="movielens", options={"path": "data/ml-1m/ratings.dat"})).describe()
    'MovieLens ratings in data/ml-1m/ratings.dat'
    """
    return cast(Source, Builder().single("source", part.model_dump()))
