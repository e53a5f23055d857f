"""Doubtful values: texts that were read in another encoding than they were written in, and times that stand for a missing one."""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.period_checks import Check

OLD = 788_918_400_000_000  # 1995-01-01: the oldest public logs are younger
DAY = 86_400_000_000


def other_encoding_checks(warehouse: Warehouse, columns: Columns, period: int, version: int) -> Iterator[Check]:
    """A check that fails for each column of texts in which some have characters that only a wrong encoding leaves."""
    texts = ["user", "item", *(name for name in columns.categorical if name not in (columns.user, columns.item))]
    parameters = {"period": period, "version": version, "columns": texts}
    for row in warehouse.query("validate/misread_texts", parameters).to_pylist():
        name = row["field"] if row["field"] in columns.categorical else getattr(columns, row["field"])
        example = (
            f"{ascii(row['value'])[:80]}. Such characters are left of a text that was read in another encoding than it was written in, "
            "here or before: set the source's option `encoding` (cp1252, iso2022_jp, utf-8, ...), or write the text again"
        )
        yield Check(f"rows whose {name[:60]} is of another encoding", "warn", row["rows"], high=0, example=example)


def missing_time_checks(warehouse: Warehouse, period: int, version: int) -> Iterator[Check]:
    """A check that fails if rows have the time 0, which programs write for a missing one, beside times of these days, or all have it.

    A log whose times are numbers from 0 on has no times of these days.
    """
    (seen,) = warehouse.query(
        "validate/first_day_rows", {"period": period, "version": version, "day": DAY, "old": OLD}
    ).to_pylist()
    if seen["rows"]:
        example = "a missing time is often written as 0, and these rows are taken for the oldest ones. Write their times, or nothing"
        yield Check("rows at the start of 1970", "warn", seen["rows"], high=0, example=example)
