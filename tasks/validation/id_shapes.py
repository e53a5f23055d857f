"""Id shapes: ids and categories that were cut off at a length, so that several became one, ids with a sign between thousands or between
other characters, and numbers that were given out anew or stand for no id.
"""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
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
# Of categories; GROUP_CONCAT of MySQL keeps 1,024.
TEXT_LIMITS = (*LIMITS, 500, 512, 1000, 1023, 1024, 2000, 4000, 8000)
CHANCE = 0.01  # of all ids: so many may be another one without the signs inside them
# Where the least of the others is larger than FAR, and than BELOW gaps between two ids, 0 is no id; nor where a gap is WIDE.
FAR, BELOW, WIDE = 100, 10, 1e6
SHRUNK = 1.1  # times as many ids were known as a period has in which each number up to the largest has a row
PANEL = 50  # with fewer ids all may have a row in each period
STEEP = 4  # times as many ids as have any length below it


def id_shape_checks(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails for users, and for items, if many have just as many characters as a program keeps, or signs between
    thousands, and if more than a few are others without the signs inside them."""
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
    yield from _separated_ids(warehouse)


def cut_text_checks(warehouse: Warehouse, columns: Columns) -> Iterator[Check]:
    """A check that fails for each categorical column of which many values have just as many characters as a program keeps."""
    names = [name for name in columns.categorical if name not in (columns.user, columns.item)]
    for row in warehouse.query("validate/cut_texts", {"columns": names}).to_pylist() if names else ():
        cut = row["cut"]
        if row["longest"] in TEXT_LIMITS and cut >= FEW and row["lengths"] >= LENGTHS and cut > STEEP * row["most"]:
            example = (
                f"{row['one_cut'][-60:]!r} is the end of one. Programs cut texts off, GROUP_CONCAT of MySQL at 1,024 characters, so that "
                "the last value of a list is another one: export whole texts"
            )
            name = f"values of {row['field'][:60]} of {row['longest']:,} characters, the longest"
            yield Check(name, "warn", float(cut), high=0, example=example)


def _separated_ids(warehouse: Warehouse) -> Iterator[Check]:
    """A check that fails for users, and for items, if more than a few are others without the signs inside them."""
    for row in warehouse.query("validate/separated_ids").to_pylist():
        if row["ids"] >= FEW and row["pairs"] > CHANCE * row["ids"]:
            role = row["role"]
            pair = f"{row['parted'][:60]!r} and {row['plain'][:60]!r}"
            example = f"{pair}. Are they one {role}? Write each id in one way, as the service is asked"
            name = f"share of {role}s that differ in blanks, hyphens and the like alone"
            yield Check(name, "warn", row["pairs"] / row["ids"], high=CHANCE, example=example)


def numbered_id_checks(warehouse: Warehouse, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """Checks of users and of items that are numbers: whether they were numbered anew for this period, and whether 0 or the largest integer
    stands for no id or for several."""
    for row in warehouse.query("validate/numbered_ids").to_pylist():
        role, ids = row["role"], row["ids"]
        if ids < FEW:
            continue
        gap = (row["most"] - row["least"]) / row["numbers"]
        if row["zeros"] and (row["least"] >= max(FAR, BELOW * gap) or gap >= WIDE):
            example = f"'0', and the least of the others is {row['least']:.0f}. Does 0 stand for a missing {role}? Leave such rows out"
            yield Check(f"rows whose {role} is 0", "warn", row["zeros"], high=0, example=example)
        if row["last"]:
            example = (
                f"{row['largest']!r}, the largest integer of its type. A database writes it for each larger number: export the ids again, "
                "with a wider type or as text"
            )
            yield Check(
                f"rows whose {role} is the largest integer", "warn", row["largest_rows"], high=0, example=example
            )
        known = 0 if vocabulary is None else len(vocabulary.ids[role])
        counted = row["in_order"] and row["again"]
        if known and (counted or (row["dense"] and ids >= PANEL and known > SHRUNK * ids)):
            how = "in the order in which they come first" if row["in_order"] else "each of which has a row"
            example = (
                f"they are the numbers up to {row['largest']}, {how}. Were they numbered anew for this period, as LabelEncoder, "
                f"StringIndexer, factorize and row_number do? Then a number is another {role} in each: export the ids themselves"
            )
            yield Check(f"{role}s numbered without a gap", "warn", float(ids), high=0, example=example)
