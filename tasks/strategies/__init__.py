"""Strategies: how a model is retrained. This file finds them by entry point and builds them from a plan."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.retraining.options import Mistakes, assemble, listed
from nightloop.tasks.retraining.strategy import Strategy

GROUP = "nightloop.strategies"


def strategies() -> dict[str, type[Strategy]]:
    """Every installed strategy by its entry-point name, in order of name; ours have no other way in."""
    return {name: point.load() for name, point in sorted(_points().items())}


def build(part: Part) -> Strategy:
    """The strategy a plan names. Raises one ValueError that lists every mistake with the legal names."""
    mistakes: Mistakes = []
    strategy = _strategy(part.model_dump(), "", mistakes)
    if mistakes or strategy is None:
        raise PlanError("; ".join(mistakes))
    return strategy


@cache  # reading what every installed package says of itself takes 25 ms
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _strategy(given: object, path: str, mistakes: Mistakes) -> Strategy | None:
    """The strategy that `{use, options}`, or a bare name, stands for; None where there are mistakes."""
    part = {"use": given} if isinstance(given, str) else given
    where = f"{path}: " if path else ""
    if not isinstance(part, dict) or "use" not in part or set(part) - {"use", "options"}:
        mistakes.append(f"{where}given {given!r:.80}; a strategy is a name, or use: a name, options: its options")
        return None
    known = _points()
    if part["use"] not in known:
        mistakes.append(f"{where}no strategy {part['use']!r:.80}; installed are {listed(sorted(known))}")
        return None
    options, at = part.get("options") or {}, f"{path}." if path else ""
    made = assemble(known[part["use"]].load(), options, at, mistakes, _strategy)
    return made if made is None else _checked(made, where, mistakes)


def _checked(made: object, where: str, mistakes: Mistakes) -> Strategy | None:
    missing = [name for name in ("lookback", "start", "update") if not hasattr(made, name)]
    if missing:
        mistakes.append(f"{where}{type(made).__name__} is no strategy: it has no {', '.join(missing)}")
        return None
    return made  # type: ignore[return-value]  # shown above to have the protocol's three names
