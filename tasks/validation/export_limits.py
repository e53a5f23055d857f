"""Export limits: as many rows as a program exports at most, so that others may be missing."""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.validation.period_checks import Check

# Rows of a sheet of a spreadsheet, with and without a line of names; and what Metabase, Kibana, Databricks, Superset, KoboToolbox and
# others export at most.
SHEETS = (65_535, 65_536, 1_048_575, 1_048_576)
LIMITS = (*SHEETS, 10_000, 30_000, 50_000, 100_000, 150_000, 500_000, 1_000_000)
READ = (
    "files",
    "database",
)  # sources whose periods have any number of rows; those of simulated worlds have a round one


def export_limit_checks(plan: Plan, period: Period, rows: float) -> Iterator[Check]:
    """A check that fails if as many rows arrived for a period of the calendar as a program exports at most."""
    if period.start is not None and plan.source.use in READ and rows in LIMITS:
        yield Check("rows", "warn", rows, high=rows - 1, example=at_limit(int(rows)))


def at_limit(rows: int) -> str:
    """What may be wrong with so many rows, in words."""
    return (
        f"{rows:,} rows are the most that "
        + ("a sheet of a spreadsheet holds" if rows in SHEETS else "some programs export")
        + ": were all rows exported?"
    )
