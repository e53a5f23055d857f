"""Id shapes: ids that were cut off at a length, so that several became one, and numbers with a sign between their thousands."""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # with fewer ids nothing can be said
LIMITS = (
    50,
    60,
    80,
    100,
    120,
    150,
    200,
    250,
    255,
    256,
)  # characters that programs and columns of databases keep; no hash has so many
LENGTHS = 3  # different lengths below it that texts have; hashes and UUIDs have one
STEEP = 4  # times as many ids as have any length below it


def id_shape_checks(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails for users, and for items, if many have just as many characters as a program keeps, or signs between thousands."""
    for row in warehouse.query("validate/id_shapes").to_pylist():
        role, cut = row["role"], row["cut"]
        if row["longest"] in LIMITS and cut >= FEW and row["lengths"] >= LENGTHS and cut > STEEP * row["most"]:
            example = (
                f"{row['one_cut'][:300]!r}. Programs cut texts off, Google Analytics 4 at 100 characters, so that several {role}s become "
                "one: export short ids"
            )
            yield Check(
                f"{role}s of {row['longest']} characters, the longest", "warn", float(cut), high=0, example=example
            )
        if row["parted"] >= FEW and row["starts"] > 1 and not row["others"]:
            example = (
                f"{row['one_parted'][:60]!r}. No other number has four digits: does the sign separate thousands? Then 1.000 was read as 1. "
                "Write ids without it, as text, where they are exported"
            )
            yield Check(f"{role}s with a sign between thousands", "warn", row["parted"], high=0, example=example)
