"""Words: how the gate says a number to an operator, and how it keeps one in a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from pydantic import JsonValue

from nightloop.tasks.gate.bootstrap import Interval


def finite(value: float | None) -> float | None:
    """The number to nine digits, so that a sum's last bits change no manifest; None where it has no value."""
    return float(f"{value:.9g}") if value is not None and isfinite(value) else None


def share(relative: float | None) -> str:
    """`4.3 %`, without its sign; `an unknown share` where the base is zero."""
    return (
        f"{abs(relative):.1%}".replace("%", " %") if relative is not None and isfinite(relative) else "an unknown share"
    )


def figures(found: Interval, served: float) -> dict[str, JsonValue]:
    """An interval as a manifest keeps it, beside the mean of what served."""
    return {
        "effect": finite(found.mean),
        "low": finite(found.low),
        "high": finite(found.high),
        "relative": finite(found.mean / served if served else None),
        "served": finite(served),
        "users": found.users,
        "rows": found.rows,
    }


def span(names: Sequence[str]) -> str:
    """`1 night (2026-01-12)` or `3 nights (2026-01-10 to 2026-01-12)`."""
    if len(names) == 1:
        return f"1 night ({names[0]})"
    return f"{len(names)} nights ({names[0]} to {names[-1]})"


def bound(value: float) -> str:
    """A bound with its sign and four digits; `unbounded` where the resamples say nothing."""
    return f"{value:+.4g}" if isfinite(value) else "unbounded"
