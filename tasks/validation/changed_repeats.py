"""Changed repeats: rows that were put aside because their key was there before, though they have other values than the row that stayed.

An export that writes a row again once it changed, such as an impression that was clicked later, means its newest values. Lines of one
order have one user and one time, and another item or another feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.period_checks import Check


def changed_repeat_checks(
    warehouse: Warehouse, columns: Columns, version: Mapping[str, int], reasons: Mapping[str, float]
) -> Iterator[Check]:
    """A check that fails if repeats of a version of a period, put aside for these `reasons`, have other values than the row that stayed."""
    if not reasons.get("duplicate"):
        return
    roles = {columns.user: "user", columns.item: "item", columns.time: "time", columns.label: "label"}
    roles |= {columns.logged_probability: "served"} if columns.logged_probability else {}
    key = [roles.get(name, name) for name in columns.key] or ["user", "item", "time"]
    compared = {roles.get(name, name) for name in columns.names} - {*key, "time"}  # of one key the first in time stays
    if not compared:
        return
    asked = {**version, "key": key, "columns": sorted(compared)}
    (seen,) = warehouse.query("validate/changed_repeats", asked).to_pylist()
    if seen["rows"]:
        first, other = seen["first"], seen["other"]
        name = next(name for name in first if first[name] != other[name])
        example = (
            f"{name[:60]} was {str(first[name])[:60]!r} and then {str(other[name])[:60]!r}. Of rows with one key the first in time stays: "
            "write a row once, with its newest values. If these are several events, name the column that tells them apart in `columns: key`"
        )
        yield Check("repeated rows with other values", "warn", seen["rows"], high=0, example=example)
