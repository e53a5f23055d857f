"""Numbers in words: how the gate writes a number for an operator, and how it stores one in a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from pydantic import JsonValue

from nightloop.tasks.gate.bootstrap import Interval


def finite(value: float | None) -> float | None:
    """The number to nine digits, so that the last bits of a sum change no manifest; None if it is not finite."""
    return float(f"{value:.9g}") if value is not None and isfinite(value) else None


def share(relative: float | None) -> str:
    """`4.3 %`, without its sign; `an unknown share` if the base is zero, and no figure if it is nearly zero."""
    if relative is None or not isfinite(relative):
        return "an unknown share"
    return f"{abs(relative):.1%}".replace("%", " %") if abs(relative) <= 10 else "more than 1,000 %"


def figures(estimate: Interval, served: float) -> dict[str, JsonValue]:
    """An interval as it is stored in a manifest, with the mean of what served."""
    return {
        "effect": finite(estimate.mean),
        "low": finite(estimate.low),
        "high": finite(estimate.high),
        "relative": finite(estimate.mean / served if served else None),
        "served": finite(served),
        "users": estimate.users,
        "rows": estimate.rows,
    }


def span(names: Sequence[str]) -> str:
    """`1 night (2026-01-12)` or `3 nights (2026-01-10 to 2026-01-12)`."""
    if len(names) == 1:
        return f"1 night ({names[0]})"
    return f"{len(names)} nights ({names[0]} to {names[-1]})"


def bound(value: float) -> str:
    """A bound with its sign and four digits; `unbounded` if it is infinite."""
    return f"{value:+.4g}" if isfinite(value) else "unbounded"
