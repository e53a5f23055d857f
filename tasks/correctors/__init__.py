"""Correctors: what may correct a prediction at serving time. This file finds them by entry point and builds them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightloop.tasks.correction.corrector import Corrector
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Part

GROUP = "nightloop.correctors"


@cache  # reading what every installed package says of itself takes 25 ms
def correctors() -> dict[str, type[Corrector]]:
    """Every installed corrector by its entry-point name, in order of name."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    return {name: found[name].load() for name in sorted(found)}


def build(part: Part) -> Corrector:
    """The corrector a plan names. Raises one ValueError that lists every mistake with what is legal."""
    known = correctors()
    if part.use not in known:
        raise PlanError(f"no corrector {part.use!r:.80}; installed are {', '.join(known) or 'none'}")
    kind: Any = known[part.use]
    legal = list(kind.__dataclass_fields__)
    if unknown := [name for name in part.options if name not in legal]:
        raise PlanError(f"{part.use} has no option {', '.join(map(repr, unknown)):.200}; it has {', '.join(legal)}")
    try:
        made: Corrector = TypeAdapter(kind).validate_python(part.options)
    except ValidationError as error:
        said = [_sentence(one) for one in error.errors(include_url=False)]
        raise PlanError("; ".join(dict.fromkeys(said))) from error
    missing = [name for name in ("start", "correct", "observe") if not hasattr(made, name)]
    if missing:
        raise PlanError(f"{part.use} is no corrector: it has no {', '.join(missing)}")
    return made


def build_all(parts: Mapping[str, Part]) -> dict[str, Corrector]:
    """The correctors of a plan, in its order. Raises one ValueError that lists every mistake."""
    made, mistakes = {}, []
    for label, part in parts.items():
        try:
            made[label] = build(part)
        except ValueError as error:
            mistakes.append(f"correctors.{label}: {error}")
    if mistakes:
        raise PlanError("; ".join(mistakes))
    return made


def _sentence(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"])
    said = "no such option" if error["type"] == "unexpected_keyword_argument" else error["msg"]
    return f"{where or 'options'}: given {error['input']!r:.80}; {said.removeprefix('Value error, ')}"
