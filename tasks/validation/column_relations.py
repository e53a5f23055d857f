"""Column relations: what one column of a period says of another one, or of an earlier period.

A feature that tells the label alone was written after it. An item that one user alone has is no item but an order or a session. Users
that are the items of other rows were written in another order of columns. Rows of an earlier period with other times were delivered again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # rows of each label: with fewer nothing can be said
CERTAIN = 0.995  # AUC of a column alone; features that are known before the label have less
CHANCE = 1e-9  # that so many rows have one label, if the value says nothing
MANY, LONE = 1000, 200  # rows; and those whose item, or user, has several
COPIES = 0.5  # of the rows have one id as user and item
AGAIN, PAIRS = 0.95, 0.25  # of the rows came in the period before; and pairs of user and item to a row, at least
BLOCK, BLOCKS = 100, 50_000  # rows of an eighth at least; and rows that are compared with those of the period before
# Correlation of users of some rows with items of others, and how much more than with their users.
ALIKE, MORE = 0.5, 0.3
SURELY = 10_000  # rows of which none has the user of another one


def relation_checks(
    warehouse: Warehouse, plan: Plan, counts: Mapping[str, Any], versions: Mapping[int, int]
) -> Iterator[Check]:
    """The checks of the `clean_rows` of one version; `versions` are those of the periods before."""
    if counts["clean"]:
        yield from _labels(warehouse, plan, counts)
        yield from _users_and_items(warehouse, plan)
        yield from _moved_columns(warehouse)
    if plan.family != "ranking" or plan.ranking.repeats:  # others count what users took before
        yield from _rows_again(warehouse, counts["clean"], versions)


def _labels(warehouse: Warehouse, plan: Plan, counts: Mapping[str, Any]) -> Iterator[Check]:
    """A check that fails for each column that tells the label alone, and one if all rows have one label."""
    columns = plan.columns
    if columns.label is None:
        return
    if counts["clean"] >= MANY and (rate := counts["label_rate"]) in (0, 1):
        example = (
            f"all rows have the label {rate:.0f}, and a model learns nothing of them. Are the other rows in other files, or is the label "
            "written later than the row?"
        )
        yield Check("rows of one label alone", "warn", float(counts["clean"]), high=0, example=example)
        return
    texts = [name for name in columns.categorical if name not in (columns.user, columns.item)]
    asked = {"columns": ["user", "item", *texts, *columns.numeric], "numbers": list(columns.numeric)}
    for row in warehouse.query("validate/label_tellers", asked).to_pylist():
        rows, ones, name = row["rows"], row["ones"], row["field"]
        if min(ones, rows - ones) >= FEW:
            yield from _tell_label(row, _column(plan, name), _advice(name), name in columns.numeric)


def _tell_label(row: Mapping[str, Any], column: str, advice: str, is_number: bool) -> Iterator[Check]:
    """A check that fails if a column tells the label by itself, and one if all values but the most frequent one have the rarer label, or if
    the most frequent number never has it: then the row itself was counted."""
    rows, ones, others, other_ones = row["rows"], row["ones"], row["others"], row["other_ones"]
    if row["auc"] >= CERTAIN:
        zero, one = row["of_zeros"][:60] or "no value", row["of_ones"][:60] or "no value"
        example = f"it tells the label by itself, such as {zero!r} for 0 and {one!r} for 1. {advice}"
        yield Check(f"AUC of {column} alone", "warn", row["auc"], high=CERTAIN - 1e-9, example=example)
        return
    rare = float(ones <= rows - ones)  # the label that fewer rows have
    share = min(ones, rows - ones) / rows
    if others * math.log(share) < math.log(CHANCE) and other_ones == rare * others:
        example = f"where it is not {row['usual'][:60] or 'missing'!r}, the label is always {rare:.0f}. {advice}"
        yield Check(f"rows in which {column} tells the label", "warn", others, high=0, example=example)
    usual, usual_rare = rows - others, (ones - other_ones) if rare else (rows - others) - (ones - other_ones)
    if is_number and not usual_rare and usual * math.log(1 - share) < math.log(CHANCE):
        example = f"where it is {row['usual'][:60] or 'missing'!r}, the label is never {rare:.0f}. {advice}"
        yield Check(f"rows in which {column} tells the label", "warn", usual, high=0, example=example)


def _column(plan: Plan, name: str) -> str:
    roles = {"user": plan.columns.user, "item": plan.columns.item, "_micros": f"the seconds of {plan.columns.time}"}
    return roles.get(name, name)[:60]


def _advice(name: str) -> str:
    if name in ("user", "item", "_micros"):
        return "Do rows of the two labels come from two programs? Write them in one way, or a model learns which program wrote a row"
    return (
        "Is it known before the label, when a row is served? A number of seconds watched, of an order, or of clicks up to this one is not: "
        "take it out of the plan's `columns`"
    )


def _users_and_items(warehouse: Warehouse, plan: Plan) -> Iterator[Check]:
    """Checks of what users and items have to do with each other, and of ids that one row alone has."""
    (seen,) = warehouse.query("validate/user_item_relations").to_pylist()
    columns = plan.columns
    if seen["rows"] >= FEW and seen["same"] > COPIES * seen["rows"]:
        example = f"such as {seen['one_same'][:60]!r}. Are {columns.user[:60]} and {columns.item[:60]} what the plan takes them for?"
        yield Check(
            "share of rows whose item is their user", "warn", seen["same"] / seen["rows"], high=COPIES, example=example
        )
    enough = min(seen["item_users"], seen["again_items"]) >= FEW
    if enough and seen["item_again"] >= LONE and not seen["item_shared"]:
        example = (
            f"all those of {seen['one_item'][:60]!r} have the user {seen['its_user'][:60]!r}. Is {columns.item[:60]} the number of an "
            "order, of a session or of a visit? Then nobody takes it again: name the column of the items"
        )
        yield Check(
            "rows of items of which each has one user alone", "warn", seen["item_again"], high=0, example=example
        )
    enough = min(seen["user_items"], seen["again_users"]) >= FEW
    if enough and seen["user_again"] >= LONE and not seen["user_shared"]:
        example = (
            f"all those of {seen['one_user'][:60]!r} have the item {seen['its_item'][:60]!r}. Is {columns.user[:60]} the number of an "
            f"order line, or {columns.item[:60]} something that a user is or has? Name the columns of the users and of the items"
        )
        yield Check(
            "rows of users of which each has one item alone", "warn", seen["user_again"], high=0, example=example
        )
    single = warehouse.query("validate/single_ids", {"few": MANY}).to_pylist() if plan.family == "ranking" else []
    for row in single:
        if row["dense"] or row["ids"] >= SURELY:
            role = row["role"]
            numbers = f", the numbers from {row['least']} to {row['largest']}" if row["dense"] else ""
            example = (
                f"each row has another {role}{numbers}. Is {getattr(columns, role)[:60]} the number of a row or of an event? Name the "
                f"column of the {role}s"
            )
            yield Check(f"{role}s of one row each", "warn", row["ids"], high=0, example=example)


def _moved_columns(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails if the users of some rows are the items of others, as after rows were appended in another order of columns."""
    for row in warehouse.query("validate/moved_columns").to_pylist():
        if row["ids"] >= FEW and row["rows"] >= BLOCK and is_moved(row):
            example = (
                f"the users of its first rows are the items of rows after {row['block']} eighths of it, or the other way round. Were rows "
                "appended whose columns have another order? Write them in the order of the first ones"
            )
            yield Check("columns that moved within the period", "warn", 1.0, high=0, example=example)
            return


def is_moved(alike: Mapping[str, Any]) -> bool:
    """Whether users here are rather the items there than its users: `alike` has four correlations of how often ids come."""
    values = {
        name: alike[name] if alike[name] is not None and math.isfinite(alike[name]) else 0.0
        for name in ("users", "items", "users_of_items", "items_of_users")
    }
    moved = max(values["users_of_items"], values["items_of_users"])
    return moved > ALIKE and moved > max(values["users"], values["items"]) + MORE


def _rows_again(warehouse: Warehouse, clean: float, versions: Mapping[int, int]) -> Iterator[Check]:
    """A check that fails if nearly all rows are those of the period before with other times."""
    if not versions or clean < FEW:
        return
    period, version = max(versions.items())
    asked = {"stride": max(1, math.ceil(clean / BLOCKS)), "period": period, "version": version}
    (seen,) = warehouse.query("validate/rows_again", asked).to_pylist()
    if seen["rows"] >= FEW and seen["pairs"] >= PAIRS * seen["rows"]:
        example = (
            "they have the users, items and labels of rows of the period before, with other times. Is the whole table exported each day, "
            "or is the time that of the export? Export the rows of a period, with the time of each event"
        )
        yield Check(
            "share of rows of the period before", "warn", seen["again"] / seen["rows"], high=AGAIN, example=example
        )
