"""Rounded ids: numbers of 16 digits and more that JavaScript or a spreadsheet has rounded, so that several ids became one; numbers with a
fraction that became floats; and numbers that R wrote with an exponent, so that they are another id than the one of before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # with fewer such ids nothing can be said
MOST = 0.8  # of ids that were not rounded, one in ten looks so at most
LONG = 18  # digits, from which on a float of 64 bits has fewer
OF_SPREADSHEETS = 15  # digits that a spreadsheet keeps; it writes zeros for the others
WHOLE = 0.9  # least share of ids that are whole numbers where one with an exponent is a number too, and not hexadecimal


def rounded_id_checks(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails if most long ids of users, or of items, look rounded, or like floats; none if there are few such ids. And one that
    fails if an id has an exponent where nearly all others are whole numbers."""
    rows = warehouse.query("validate/long_ids").to_pylist()
    for role in ("user", "item"):
        ids = [row["id"] for row in rows if row["role"] == role and "." not in row["id"]]
        for same in ([id_ for id_ in ids if _digits(id_) >= LONG], [id_ for id_ in ids if _digits(id_) < LONG]):
            rounded = [id_ for id_ in same if _is_rounded(id_)]
            if len(same) >= FEW and len(rounded) > MOST * len(same):
                example = (
                    f"{rounded[0]}. JavaScript and spreadsheets round numbers of so many digits, so that several {role}s become one: write "
                    "ids as text where they are exported"
                )
                yield Check(
                    f"share of {role}s that look rounded", "warn", len(rounded) / len(same), high=MOST, example=example
                )
        fractions = [row["id"] for row in rows if row["role"] == role and "." in row["id"]]
        floats = [id_ for id_ in fractions if repr(float(id_)) == id_]
        if (
            len(floats) >= FEW and len({len(id_.partition(".")[2]) for id_ in floats}) > 1
        ):  # ids of one length are meant so
            example = (
                f"{floats[0]}. Programs that take 1234567890.1700123456, a client of Google Analytics, for a number keep 17 of its "
                f"digits and no zero at its end, so that it is another {role} than elsewhere: write ids as text where they are exported"
            )
            yield Check(f"{role}s that look like floats", "warn", len(floats), high=0, example=example)
    for row in warehouse.query("validate/exponent_ids").to_pylist():
        role = row["role"]
        if row["whole"] >= WHOLE:
            example = (
                f"{row['id']}. The others are whole numbers, and readr of R writes 2000 as 2e3, which is another {role}: write ids as "
                "integers or as text where they are exported"
            )
            yield Check(f"rows whose {role} has an exponent", "warn", row["rows"], high=0, example=example)


def _digits(id_: str) -> int:
    return len(id_.lstrip("-"))


def _is_rounded(id_: str) -> bool:
    """Whether an id has just the digits that tell its float of 64 bits from the next one, and zeros after them. A shorter one: those
    that a spreadsheet keeps."""
    if _digits(id_) < LONG:
        return not id_.lstrip("-")[OF_SPREADSHEETS:].strip("0")
    return int(Decimal(repr(float(id_)))) == int(id_)
