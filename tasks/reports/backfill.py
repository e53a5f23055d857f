"""The plan of a backfill as a table, shown before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nightloop.tasks.record.backfill_plan import Step
from nightloop.tasks.reports.format import plural
from nightloop.tasks.reports.table import Cell, Table


def backfill(pipeline: str, steps: Sequence[Step], names: Mapping[int, str]) -> Table:
    """One row a period; the title says how many run. A period without a name is shown by its index."""
    runs = [step for step in steps if step.action == "run"]
    if runs:
        first, last = (names.get(step.period, f"period {step.period}") for step in (runs[0], runs[-1]))
        title = f"{pipeline}: {plural(len(runs), 'night')} to run, {first} to {last}, in this order"
    else:
        title = f"{pipeline}: nothing to run" + (
            f", all {plural(len(steps), 'night')} are as they should be" if steps else ""
        )
    rows = tuple(
        (
            Cell(names.get(step.period, f"period {step.period}")),
            Cell(step.action, "good" if step.action == "run" else "quiet"),
            Cell(step.why, "" if step.action == "run" else "quiet"),
        )
        for step in steps
    )
    note = "A night that runs makes every later one due. Cancel at any time; run it again and it continues where it stopped."
    return Table(title, ("night", "action", "why"), rows, note if runs else "")
