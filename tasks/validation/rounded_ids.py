"""Rounded ids: numbers of 18 digits and more that JavaScript or a spreadsheet has rounded, so that several ids became one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # with fewer such ids nothing can be said
MOST = 0.8  # of ids that were not rounded, one in ten looks so at most


def rounded_id_checks(warehouse: Warehouse, period: int, version: int) -> Iterator[Check]:
    """A check that fails if most long ids of users, or of items, look rounded; none if there are few such ids."""
    rows = warehouse.query("validate/long_ids", {"period": period, "version": version}).to_pylist()
    for role in ("user", "item"):
        ids = [row["id"] for row in rows if row["role"] == role]
        rounded = [id_ for id_ in ids if _is_rounded(id_)]
        if len(ids) >= FEW and len(rounded) > MOST * len(ids):
            example = (
                f"{rounded[0]}. JavaScript and spreadsheets round numbers of so many digits, so that several {role}s become one: write "
                "ids as text where they are exported"
            )
            yield Check(
                f"share of {role}s that look rounded", "warn", len(rounded) / len(ids), high=MOST, example=example
            )


def _is_rounded(id_: str) -> bool:
    """Whether an id has just the digits that tell its float of 64 bits from the next one, and zeros after them."""
    return int(Decimal(repr(float(id_)))) == int(id_)
