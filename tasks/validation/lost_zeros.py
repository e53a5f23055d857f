"""Lost zeros: ids of digits that differ alone in what a program removes that takes them for numbers, in a period or from earlier nights:
zeros and a plus at the start, such as 0012 and 12 or +4712 and 4712, and zeros at the end of a fraction, such as 1.10 and 1.1.

Spreadsheets and programs that take ids for numbers do so, from one file of several for example. Ids that had none stay the same, so that
not all ids of the period are new.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # with fewer ids nothing can be said
CHANCE = 0.01  # of all ids: so many may have a number that another one has with zeros
PADDING = r"^(?:[+]?0[0-9]+(?:[.][0-9]+)?|[+][0-9]+(?:[.][0-9]+)?|[0-9]+[.][0-9]*0)$"
START, END = r"^[+]?0*", r"([.][0-9]*[1-9])0+$"


def lost_zero_checks(warehouse: Warehouse, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """A check that fails for users, and for items, if more than a few differ from others or known ones in such zeros or a plus alone."""
    for role in ("user", "item"):
        known = pa.array([], pa.string()) if vocabulary is None else vocabulary.ids[role].cast(pa.string()).drop_null()
        padded = pc.any(pc.match_substring_regex(known, PADDING)).as_py() is True
        asked = {"role": role, "padded": padded, "padding": PADDING, "start": START, "end": END}
        ids = warehouse.query("validate/digit_ids", asked).column("id").combine_chunks()
        if len(ids) < FEW:
            continue
        known = known.filter(pc.is_in(_numbers(known), _numbers(ids)))  # in any form
        every = pc.unique(pa.concat_arrays([ids, known]))
        table = pa.table({"number": _numbers(every), "id": every, "here": pc.is_in(every, ids)})
        found = table.group_by("number").aggregate([("id", "count"), ("id", "min"), ("id", "max"), ("here", "sum")])
        found = found.filter(pc.greater(found.column("id_count"), 1)).sort_by("number")
        share = (pc.sum(found.column("here_sum")).as_py() or 0) / len(ids)
        if share > CHANCE:
            example = (
                f"{found.column('id_min')[0].as_py()[:60]!r} and {found.column('id_max')[0].as_py()[:60]!r}. Are they one {role}? "
                "Spreadsheets, and programs that take ids for numbers, remove zeros and a plus at the start, and zeros at the end of a "
                "fraction: write ids as text"
            )
            name = f"share of {role}s that differ in zeros or a plus alone"
            yield Check(name, "warn", share, high=CHANCE, example=example)


def _numbers(ids: pa.Array) -> pa.Array:
    """The ids without what is removed of a number."""
    return pc.replace_substring_regex(pc.replace_substring_regex(ids, START, ""), END, r"\1")
