"""Sources: where logs come from. Found by entry point, ours like everybody's."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightloop.tasks.lake.source import Source
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.nearest import nearest
from nightloop.tasks.plan.plan import Part

GROUP = "nightloop.sources"


def sources() -> dict[str, type[Source]]:
    """Every installed source by its entry-point name, in alphabetical order."""
    return {name: point.load() for name, point in sorted(_points().items())}


def build(part: Part) -> Source:
    """The source a plan names. Raises PlanError with the legal names where the source or an option is not known."""
    known = _points()
    if part.use not in known:
        raise PlanError(f"no source {part.use[:80]!r}; installed are {', '.join(sorted(known)) or 'none'}")
    kind = known[part.use].load()
    legal = [field.name for field in fields(kind)]
    if unknown := [name for name in part.options if name not in legal]:  # pydantic leaves out what a dataclass lacks
        named = ", ".join(f"{name!r:.80}{nearest(name, legal)}" for name in unknown)
        raise PlanError(f"no option {named}; {kind.__name__} has {', '.join(legal)}")
    try:
        return TypeAdapter(kind).validate_python(part.options)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise PlanError("; ".join(_sentence(one) for one in error.errors(include_url=False))) from error


@cache  # reading what every installed package says of itself takes 25 ms
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: given {error.get('input')!r:.80}; {error['msg']}"
