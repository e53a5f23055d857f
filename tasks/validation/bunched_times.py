"""Bunched times: many rows at one time of day, as an import or a missing time of day leaves them, minutes that are the month, fractions of
seconds without their zeros, and events written twice, at once or a fixed time apart."""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

LOOKED_AT = {"most": 50_000}
FEW = 20  # with fewer rows nothing can be said
CROWD, OFTEN = 0.1, 20.0  # of all rows, and times those of a time of day in the middle
MANY, SPREAD = 100, 20  # rows, and different seconds of them: times that are rounded to minutes or hours have one
# Rows with a fraction of a second, and different ones: by chance a tenth of them is below 0.1.
PARTS, DIFFERENT = 200, 50
CLOSE = 0.3  # of all rows: so many come less than a minute after another one of their user and item if two programs write them
TWICE = 0.1  # of all rows: so many come less than a second after another one of their user and item if events are written twice


def bunched_time_checks(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails if many rows have one time of day and the others have not, one if all have the minute that their month is, one if
    no fraction of a second is below a tenth, one if many come twice within a second, and one if many come twice the same time apart."""
    (seen,) = warehouse.query("validate/bunched_times").to_pylist()
    if seen["rows"] and seen["most"] >= max(FEW, CROWD * seen["rows"], OFTEN * seen["middle"]):
        example = (
            f"{seen['clock']} UTC. Midnight stands for a day without a time, and another time may be that of an import: write when each "
            "event was"
        )
        yield Check(
            "share of rows at one time of day", "warn", seen["most"] / seen["rows"], high=CROWD, example=example
        )
    if seen["rows"] and seen["rows"] >= MANY and seen["hours"] > 1 and seen["seconds"] >= SPREAD and seen["months"]:
        example = (
            f"{seen['one_time']}. The minute of each time is its month, as a program writes it that took the sign for months for that of "
            "minutes (MM and mm, or %m and %M): correct the export"
        )
        yield Check("rows whose minute is their month", "warn", seen["rows"], high=0, example=example)
    if seen["rows"] and seen["parts"] >= PARTS and seen["different"] >= DIFFERENT and not seen["tenths"]:
        example = (
            "none is between 0 and 0.1. A program that writes 68 ms as .68 and not as .068 leaves the zeros out: correct the export, "
            "because rows of one second are in another order"
        )
        yield Check("rows with fractions of a second", "warn", seen["parts"], high=0, example=example)
    spread = seen["rows"] and seen["hours"] > 1 and seen["seconds"] >= SPREAD
    (seen,) = warehouse.query("validate/repeats_at_once", LOOKED_AT).to_pylist()
    if spread and seen["spaced"] >= max(FEW, TWICE * seen["rows"]):
        example = (
            f"at {seen['first_spaced']} and {seen['second_spaced']}. Do two programs write one event, in two time zones, or does one "
            "write a row every so many seconds as long as something plays? Write each event once"
        )
        name = f"share of rows just {seen['span']:,.10g} seconds after another one of their user and item"
        yield Check(name, "warn", seen["spaced"] / seen["rows"], high=TWICE, example=example)
    elif spread and seen["in_a_minute"] >= max(FEW, CLOSE * seen["rows"]):
        example = (
            f"such as at {seen['first_spaced']} and {seen['second_spaced']}. Do two programs write one event, each with its own clock? "
            "Then give the files of one of them"
        )
        name = "share of rows less than a minute after another one of their user and item"
        yield Check(name, "warn", seen["in_a_minute"] / seen["rows"], high=CLOSE, example=example)
    if seen["soon"] >= max(FEW, TWICE * seen["rows"]):
        example = (
            f"at {seen['first']} and {seen['second']}. Does a page or an app write each event twice? Then write it once, or name the "
            "column that identifies an event as `key` in the plan's `columns`"
        )
        name = "share of rows less than a second after another one of their user and item"
        yield Check(name, "warn", seen["soon"] / seen["rows"], high=TWICE, example=example)
