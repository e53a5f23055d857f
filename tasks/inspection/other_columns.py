"""Other columns: what a source has that the plan does not use, such as a column that says which rows are no events."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.values import as_text
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Plan

ROWS = 10_000  # that are looked at
MOST = 60  # columns that are read
EXAMPLES = 3


@dataclass(frozen=True)
class OtherColumn:
    """A column that the plan does not use."""

    name: str
    rows: int  # that were looked at; 0: the column was not read
    missing: int  # of them
    different: int  # values
    examples: tuple[tuple[str, int], ...]  # the most frequent values, each with its rows


def other_columns(warehouse: Warehouse, source: Any, file: str, plan: Plan) -> tuple[OtherColumn, ...]:
    """The columns of a file, or of a source without files, that the plan does not use. Those that cannot be read as text are left out."""
    used = {name.casefold() for name in plan.columns.names}
    found = Counter(source.names_in(warehouse, file)) if hasattr(source, "names_in") else Counter[str]()
    names = [name for name, times in found.items() if times == 1 and name and name.casefold() not in used]
    unread = tuple(OtherColumn(name, 0, 0, 0, ()) for name in names[MOST:])
    return _read_columns(warehouse, source, file, plan, names[:MOST]) + unread if names else ()


def _read_columns(
    warehouse: Warehouse, source: Any, file: str, plan: Plan, names: list[str]
) -> tuple[OtherColumn, ...]:
    warehouse = replace(warehouse, head=True)
    try:
        return _count_values(warehouse, source, file, plan, names)
    except DataError:  # one of them is nested
        each: tuple[OtherColumn, ...] = ()
        for name in names:
            with suppress(DataError):
                each += _count_values(warehouse, source, file, plan, [name])
        return each


def _count_values(
    warehouse: Warehouse, source: Any, file: str, plan: Plan, names: list[str]
) -> tuple[OtherColumn, ...]:
    nothing: dict[str, Any] = {"label": None, "logged_probability": None, "numeric": (), "multi_value": {}, "key": ()}
    columns = plan.columns.model_copy(update={**nothing, "categorical": tuple(names)})
    counts: dict[str, Counter[str | None]] = {name: Counter() for name in names}
    batches = (
        source.rows_of(warehouse, file, columns) if file
        else source.batches(warehouse, period(plan.periods, 0), columns)
    )  # fmt: skip
    rows = 0
    for batch in batches:
        head = batch.slice(0, ROWS - rows)
        rows += head.num_rows
        for name in names:
            for value in pc.value_counts(as_text(flat_column(head, name))).to_pylist():
                counts[name][value["values"]] += value["counts"]
        if rows >= ROWS:
            break
    return tuple(_describe(name, counts[name], rows) for name in names)


def _describe(name: str, counts: Counter[str | None], rows: int) -> OtherColumn:
    missing = counts.pop(None, 0)
    frequent = sorted(((value or "", many) for value, many in counts.items()), key=lambda pair: (-pair[1], pair[0]))
    return OtherColumn(name, rows, missing, len(counts), tuple(frequent[:EXAMPLES]))
