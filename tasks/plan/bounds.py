"""Bounds: the largest numbers that a plan may have, so that a typing mistake is refused when the plan is read."""

from __future__ import annotations

from nightloop.tasks.plan.errors import PlanError

WIDEST = 10_000  # size of a row, a layer or a state
ROUNDS = 1_000  # epochs, periods, layers
ROWS = 10**8


def refuse_outside(name: str, given: object, most: int, least: int = 1, what: str = "") -> None:
    """Raise PlanError if an option is not a whole number from `least` to `most`. `what`: words that describe it."""
    if not is_whole(given, most, least):
        raise PlanError(f"{name}: given {given!r:.80}; {what and what + ', '}{bounds_in_words(most, least)}")


def is_whole(given: object, most: int, least: int = 1) -> bool:
    """Whether a value is a whole number from `least` to `most`."""
    return isinstance(given, int) and not isinstance(given, bool) and least <= given <= most


def bounds_in_words(most: int, least: int = 1) -> str:
    """The allowed values in words."""
    return f"whole numbers from {least:,} to {most:,}"
