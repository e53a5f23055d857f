"""Days: what simulated sources share: checks of their options and columns, midnights, and which days a period has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol

import numpy as np
import pyarrow as pa

from nightloop.tasks.formats.select_files import midnight_of
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.simulation.latent_world import Floats, Ints, Oracle

DAY = 86_400_000_000  # microseconds
TAKEN = ("user_id", "item_id", "ts")  # the columns of a world in which users take items


class SimulatedSource(Protocol):
    """A source with a first day."""

    @property
    def start(self) -> str:
        """The first day (UTC)."""


def refuse_options(
    kind: str, source: SimulatedSource, allowed: Mapping[str, Sequence[str] | tuple[float, float]]
) -> None:
    """Raise PlanError with every option that is out of range, and what it may be. The option `start` must be a date.

    `allowed`: by option its values, or the least and the most that it may be. An option that is None is not checked.
    """
    wrong = []
    for name, legal in allowed.items():
        given, (first, *_, last) = getattr(source, name), legal
        if isinstance(first, str) and given not in legal:
            wrong.append(f"{name} is {given!r}, must be {' or '.join(map(repr, legal))}")
        elif not isinstance(first, str) and given is not None and not first <= given <= last:
            wrong.append(f"{name} is {given!r}, must be {first:,} to {last:,}")
    try:
        date.fromisoformat(source.start)
    except (TypeError, ValueError):
        wrong.append(f"start is {source.start!r}, must be a date such as 2026-01-01")
    if wrong:
        raise PlanError(f"{kind} has wrong options: {'; '.join(wrong)}")


def refuse_unknown_columns(kind: str, names: Sequence[str], columns: Columns) -> None:
    """Raise DataError if a column of the plan is not simulated."""
    if unknown := [name for name in columns.names if name not in names]:
        raise DataError(f"{kind} has no column {unknown}; it has {', '.join(names)}")


def midnight(start: str, number: int) -> int:
    """First microsecond (UTC, since 1970) of day `number`; `start` is day 0."""
    return midnight_of(start) + number * DAY


def days_of(period: Period, start: str, days: int) -> Iterator[tuple[int, int, int]]:
    """Each day of which a period has a part, with the period's first microsecond and the one after its last.

    A period of equal counts has all of all days.
    """
    whole = period.start is None or period.end is None
    begin, end = (0, 2**62) if whole else (int(period.start or 0), int(period.end or 0))
    for number in range(days):
        if midnight(start, number) < end and midnight(start, number + 1) > begin:
            yield number, begin, end


def taken_rows(
    period: Period, start: str, days: int, takes: Callable[[int], tuple[Ints, Ints, Ints]]
) -> Iterator[pa.RecordBatch]:
    """The rows of a period in the columns `TAKEN`, day by day; all days if the lake cuts by equal counts.

    `takes`: of a day's number its user and item numbers and µs since 1970, [n] each, in order of time.
    """
    for number, begin, end in days_of(period, start, days):
        users, items, times = takes(number)
        window = slice(*np.searchsorted(times, [begin, end]).tolist())
        instants = pa.array(times[window], pa.timestamp("us", tz="UTC"))
        yield pa.RecordBatch.from_arrays([id_texts("u", users[window]), id_texts("i", items[window]), instants], TAKEN)


def oracle_of(users: Ints, items: Ints, tastes: Floats, traits: Floats, appeal: Floats) -> Oracle:
    """The factors of users and items by number: their affinity, plus the items' appeal."""
    user_ids, item_ids = tuple(id_texts("u", users).to_pylist()), tuple(id_texts("i", items).to_pylist())
    factors = np.column_stack([tastes, np.ones(len(users))]), np.column_stack([traits, appeal])
    return Oracle(user_ids, item_ids, *factors)


def id_texts(letter: str, numbers: Ints) -> pa.Array:
    """Ids as text: u17, i203."""
    return pa.array([f"{letter}{number}" for number in numbers.tolist()], pa.string())
