"""Search space: which options of a plug-in are worth tuning, and the values that each may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from pydantic import JsonValue

from nightloop.tasks.plan.errors import PlanError

LEAST, MOST = 2, 50  # values of an option that has a list of them


@dataclass(frozen=True)
class NumberRange:
    """Numbers from `low` to `high`, both included: whole numbers if both ends are.

    Parameters
    ----------
    low, high : int or float
        The ends, `low` below `high`.
    log : bool, default False
        Whether ratios count, not differences: half of the trials then lie below the geometric mean of the ends. `low`
        must be above 0.

    Raises
    ------
    PlanError
        The ends are not finite numbers in this order, or `log` is given with an end that is not above 0.

    Examples
    --------
    >>> from nightloop.tasks.plan.search_space import NumberRange
    >>> NumberRange(5, 40).whole_numbers, 0.2 in NumberRange(0.01, 0.1, log=True)
    (True, False)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) and isfinite(end) for end in ends)
        if not numbers or not self.low < self.high or not isinstance(self.log, bool):
            raise PlanError(
                f"given low {self.low!r:.40}, high {self.high!r:.40}; low and high are numbers, low below high"
            )
        if self.log and self.low <= 0:
            raise PlanError(f"given low {self.low!r} with log: true; low must then be above 0")

    @property
    def whole_numbers(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        """Whether the value is allowed."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (not self.whole_numbers or isinstance(value, int))


Range = NumberRange | tuple[JsonValue, ...]  # numbers between two ends, or a list of values
SearchSpace = Mapping[str, Range]  # by option; a dotted name reaches into a nested one: training.lr


def parse_range(given: object) -> Range:
    """The values of an option as YAML has them: a list, or {low, high, log}. Raises PlanError if it is neither."""
    if isinstance(given, Mapping):
        if unknown := set(given) - {"low", "high", "log"} or {"low", "high"} - set(given):
            raise PlanError(
                f"given {dict(given)!r:.80}; {', '.join(sorted(map(str, unknown)))}: give low, high and, if wanted, log"
            )
        return NumberRange(given["low"], given["high"], given.get("log", False))
    if not isinstance(given, list | tuple):
        raise PlanError(f"given {given!r:.80}; give a list of values, or low: and high: for all between two numbers")
    if not LEAST <= len(given) <= MOST:
        raise PlanError(
            f"given {len(given)} values; give {LEAST} to {MOST}, or low: and high: for all between two numbers"
        )
    return tuple(given)


def range_in_words(values: Range) -> str:
    """`0.01 to 0.3, by ratio` or `256, 1024`."""
    if isinstance(values, NumberRange):
        return f"{values.low:g} to {values.high:g}{', by ratio' if values.log else ''}"
    return ", ".join("none" if value is None else str(value) for value in values)
