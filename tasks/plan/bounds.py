"""Bounds: how large a number of a plan may be, so that one digit too many is refused when it is read."""

from __future__ import annotations

from nightloop.tasks.plan.errors import PlanError

WIDEST = 10_000  # numbers of a row, a layer, a state
ROUNDS = 1_000  # passes, periods, layers, whatever is done or kept one after the other
ROWS = 10**8


def refuse_outside(name: str, given: object, most: int, least: int = 1, what: str = "") -> None:
    """Raise PlanError if an option is no whole number from `least` to `most`. `what`: it is, in words."""
    if not is_whole(given, most, least):
        raise PlanError(f"{name}: given {given!r:.80}; {what and what + ', '}{bounds_in_words(most, least)}")


def is_whole(given: object, most: int, least: int = 1) -> bool:
    """Whether it is a whole number from `least` to `most`."""
    return isinstance(given, int) and not isinstance(given, bool) and least <= given <= most


def bounds_in_words(most: int, least: int = 1) -> str:
    """What is allowed."""
    return f"whole numbers from {least:,} to {most:,}"
