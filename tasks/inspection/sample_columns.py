"""Sample columns: what kinds of text and which numbers the columns of a sample hold."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.expectations import IdKind
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.id_kinds import FEW, define_id_kind


@dataclass(frozen=True)
class TextKind:
    """The values of a column that are of one kind of text."""

    kind: IdKind
    different: int
    rows: int
    examples: tuple[str, ...]  # those with most rows


@dataclass(frozen=True)
class NumberSpread:
    """The numbers of a column; NaN if it has none."""

    rows: int  # that have one
    least: float
    middle: float
    largest: float


@dataclass(frozen=True)
class DayCount:
    """The users, or the items, of the days of a sample."""

    later: int  # rows after the first day
    known: int  # of them, those whose id came on an earlier day
    middle: float  # rows of an id
    most: int
    numbered: int  # days on which the ids are 0, 1, 2, ... in the order in which they come first


@dataclass(frozen=True)
class RepeatCount:
    """How often a user took an item again."""

    rows: int
    again: int  # those that come after another one of their user and item
    soon: int  # less than a minute


def count_repeats(warehouse: Warehouse) -> RepeatCount:
    """Rows of a user and an item that came before."""
    (row,) = warehouse.query("ingest/sample_repeats").to_pylist()
    return RepeatCount(row["rows"], row["again"], row["soon"])


def day_counts(warehouse: Warehouse) -> dict[str, DayCount]:
    """For user and item what their days have in common."""
    rows = warehouse.query("ingest/sample_days", {"few": FEW}).to_pylist()
    return {
        row["role"]: DayCount(row["later"], row["known"], row["middle"], row["most"], row["numbered"]) for row in rows
    }


def text_kinds(warehouse: Warehouse, columns: Columns) -> dict[str, tuple[TextKind, ...]]:
    """For user, item and each categorical column the kinds of the landed texts, the most frequent first."""
    define_id_kind(warehouse)
    names = list(dict.fromkeys(("user", "item", *columns.categorical)))
    kinds: dict[str, tuple[TextKind, ...]] = dict.fromkeys(names, ())
    for row in warehouse.query("ingest/sample_texts", {"columns": names}).to_pylist():
        kinds[row["field"]] += (TextKind(row["kind"], row["different"], row["rows"], tuple(row["examples"])),)
    return kinds


def number_spreads(warehouse: Warehouse, columns: Columns) -> dict[str, NumberSpread]:
    """For each numeric column its landed numbers."""
    ranges = dict.fromkeys(columns.numeric, NumberSpread(0, float("nan"), float("nan"), float("nan")))
    if columns.numeric:
        for row in warehouse.query("ingest/sample_numbers", {"columns": list(columns.numeric)}).to_pylist():
            ranges[row["field"]] = NumberSpread(row["rows"], row["least"], row["middle"], row["largest"])
    return ranges
