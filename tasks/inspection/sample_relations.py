"""Sample relations: rows that two files of a sample have, columns that moved from one file to another, columns that changed, and users that
come as items do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.column_relations import is_moved

FEW = 20  # ids, and rows of a label that are expected: with fewer nothing can be said
ROWS = 100  # of a file
LOOKED_AT = 25_000  # rows of which it is asked how far apart they are
AGAIN, PAIRS = 0.8, 0.25  # of the rows are in another file too; and pairs of user and item to a row, at least
ONE_SPAN = 0.5  # of these rows are as far apart
SCALE = 50.0  # times the number in the middle of another file
PRESENT = 0.5  # share of rows of an earlier file that have a value, where the newest one has none
# Share of an even distance after which a row of the same id comes: those of users come in visits, those of items at any time.
VISITS, EVENLY, GAPS = 0.1, 0.4, 200


def find_relations(warehouse: Warehouse, columns: Columns, files: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """What is wrong between columns and between files. Of a file the arrival of its first row is given, and that after its last."""
    if len(files) < 2:
        return tuple(_swapped_roles(warehouse))
    names, parts = list(files), {
        "starts": [start for start, _ in files.values()], "ends": [end for _, end in files.values()],
    }  # fmt: skip
    pairs = warehouse.query("ingest/sample_files", parts).to_pylist()
    names_of = (
        ["label", *columns.categorical, *columns.numeric] if columns.label else [*columns.categorical, *columns.numeric]
    )
    asked = {**parts, "columns": [name for name in names_of if name not in (columns.user, columns.item, columns.time)]}
    rows = warehouse.query("ingest/sample_file_columns", asked).to_pylist() if asked["columns"] else []
    return (*_swapped_roles(warehouse), *_pairs(pairs, names), *_columns(rows, columns, names))


def _swapped_roles(warehouse: Warehouse) -> Iterator[str]:
    seen = {
        row["role"]: row
        for row in warehouse.query("ingest/sample_visits", {"most": LOOKED_AT}).to_pylist()
        if row["rows"] >= GAPS
    }
    if len(seen) == 2 and seen["item"]["spread"] < VISITS and seen["user"]["spread"] > EVENLY:
        yield (
            "rows of one item follow each other within a visit, and those of one user come at any time: are users and items swapped in the "
            "plan's `columns`, or in `names`?"
        )


def _pairs(pairs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    for pair in pairs:
        first, later = names[pair["first"]], names[pair["later"]]
        rows = min(pair["first_rows"], pair["later_rows"])
        again, apart = pair["again"], pair["spaced"] > ONE_SPAN * pair["again"]
        if rows >= ROWS and again > AGAIN * rows and pair["pairs"] >= PAIRS * rows:
            how = f", most of them {_span(pair['span'])}" if apart else ""
            yield (
                f"{first} and {later}: {again:,.0f} of {rows:,} rows of the smaller one have the user and the item of a row of the "
                f"other{how}. Do both hold the same events, or is one the whole table and the other what is new? "
                "Then give the path of one kind of file"
            )
        if pair["ids"] >= FEW and is_moved(pair):
            yield (
                f"{first} and {later}: the users of one are the items of the other. Did the columns move? Name them in their order, or in "
                "the first line of each file, and give files of another order a path of their own"
            )


def _span(seconds: float) -> str:
    return (
        f"{abs(seconds):,.10g} seconds {'later' if seconds > 0 else 'earlier'} in the second file"
        if seconds
        else "at the same time"
    )


def _columns(rows: Sequence[Mapping[str, Any]], columns: Columns, names: Sequence[str]) -> Iterator[str]:
    for field in dict.fromkeys(row["field"] for row in rows):
        of_field = [row for row in rows if row["field"] == field and row["rows"] >= ROWS]
        if field == "label":
            yield from _one_label(of_field, names)
            continue
        newest = of_field[-1] if of_field else None
        filled = [row for row in of_field[:-1] if row["present"] > PRESENT * row["rows"]]
        if newest and not newest["present"] and filled:
            yield (
                f"{field[:60]} is missing in all rows of {names[newest['file']]}, and in few of "
                f"{names[filled[-1]['file']]}: was the column renamed, or is it filled later?"
            )
        middles = [
            (row["middle"], names[row["file"]]) for row in of_field if field in columns.numeric and row["middle"]
        ]
        if len(middles) > 1 and (least := min(middles))[0] > 0 and (most := max(middles))[0] >= SCALE * least[0]:
            yield (
                f"{field[:60]} is {least[0]:g} in the middle of {least[1]} and {most[0]:g} in the middle of {most[1]}: "
                "was it written in another unit, or without its decimal point? Write it in one"
            )


def _one_label(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """A sentence for each file of one label alone, where others let one expect rows of the other label."""
    for row in rows:
        others = [other for other in rows if other is not row]
        share = sum(other["mean"] * other["present"] for other in others if other["mean"] is not None) / max(
            sum(other["present"] for other in others), 1.0
        )
        expected = row["present"] * (share if row["mean"] == 0 else 1 - share)
        if row["mean"] in (0.0, 1.0) and expected >= FEW:
            yield (
                f"all {row['present']:,.0f} rows of {names[row['file']]} have the label {row['mean']:.0f}, and others do "
                "not. Are impressions in one file and clicks in another? Then write one row for each impression, with its label; or is the "
                "label written later than the row?"
            )
