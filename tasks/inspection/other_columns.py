"""Other columns: what a source has that the plan does not use, such as a column that says which rows are no events."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.ingest import read_until_complete
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.values import as_text
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Plan

ROWS = 10_000  # that are looked at
TIMED = 1_000  # of which it is asked whether values are times
MOST = 60  # columns that are read
EXAMPLES = 3
FEW = 20  # values that are times
NEAR = 20 * 365 * 86_400_000_000  # µs between them and those of the plan's column


@dataclass(frozen=True)
class OtherTimes:
    """Times of another column beside those of the plan."""

    rows: int  # that were looked at
    different: int  # times of this column
    own: int  # different times of the plan's column
    least: int  # µs by which the plan's time is later, at least
    middle: int
    most: int


@dataclass(frozen=True)
class OtherColumn:
    """A column that the plan does not use."""

    name: str
    rows: int  # that were looked at; 0: the column was not read
    missing: int  # of them
    different: int  # values
    examples: tuple[tuple[str, int], ...]  # the most frequent values, each with its rows
    times: OtherTimes | None = None  # if its values are times


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

    def read(names: list[str]) -> tuple[OtherColumn, ...]:
        return read_until_complete(warehouse, lambda: _count_values(warehouse, source, file, plan, names))

    try:
        return read(names)
    except DataError:  # one of them is nested
        each: tuple[OtherColumn, ...] = ()
        for name in names:
            with suppress(DataError):
                each += read([name])
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
    rows, first = 0, list[pa.Table]()
    for batch in batches:
        head = batch.slice(0, ROWS - rows)
        texts = {name: as_text(flat_column(head, name)) for name in names}
        if rows < TIMED and "_micros" in head.schema.names:
            micros = head.column("_micros")
            first.append(
                pa.table({**{name: text.cast(pa.string()) for name, text in texts.items()}, "_micros": micros}).slice(
                    0, TIMED
                )
            )
        rows += head.num_rows
        for name in names:
            for value in pc.value_counts(texts[name]).to_pylist():
                counts[name][value["values"]] += value["counts"]
        if rows >= ROWS:
            break
    times = _find_times(warehouse, pa.concat_tables(first).slice(0, TIMED)) if first else {}
    return tuple(_describe(name, counts[name], rows, times.get(name)) for name in names)


def _find_times(warehouse: Warehouse, rows: pa.Table) -> dict[str, OtherTimes]:
    """The columns whose values are times of the years around those of the plan's column."""
    rows = rows.filter(pc.is_valid(rows.column("_micros")))
    with warehouse.lend(rows):
        found = warehouse.query("ingest/other_times").to_pylist()
    return {
        row["field"]: OtherTimes(
            row["rows"], row["different"], row["times"], row["least"], int(row["middle"]), row["most"]
        )
        for row in found
        if row["rows"] >= FEW and abs(row["middle"]) < NEAR and row["different"] > 1
    }


def _describe(name: str, counts: Counter[str | None], rows: int, times: OtherTimes | None) -> OtherColumn:
    missing = counts.pop(None, 0)
    frequent = sorted(((value or "", many) for value, many in counts.items()), key=lambda pair: (-pair[1], pair[0]))
    return OtherColumn(name, rows, missing, len(counts), tuple(frequent[:EXAMPLES]), times)
