"""Lost zeros: ids of digits that differ in zeros at the start alone, such as 0012 and 12, in a period or from earlier nights.

Spreadsheets and programs that take ids for numbers remove these zeros, from one file of several for example. Ids that had none stay the
same, so that not all ids of the period are new.
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


def lost_zero_checks(warehouse: Warehouse, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """A check that fails for users, and for items, if more than a few differ from others or known ones in zeros at the start alone."""
    for role in ("user", "item"):
        known = pa.array([], pa.string()) if vocabulary is None else vocabulary.ids[role].cast(pa.string()).drop_null()
        padded = pc.any(pc.match_substring_regex(known, "^0[0-9]+$")).as_py() is True
        asked = {"role": role, "padded": padded}
        ids = warehouse.query("validate/digit_ids", asked).column("id").combine_chunks()
        if len(ids) < FEW:
            continue
        known = known.filter(pc.is_in(pc.utf8_ltrim(known, "0"), pc.utf8_ltrim(ids, "0")))  # in any form
        every = pc.unique(pa.concat_arrays([ids, known]))
        table = pa.table({"number": pc.utf8_ltrim(every, "0"), "id": every, "here": pc.is_in(every, ids)})
        found = table.group_by("number").aggregate([("id", "count"), ("id", "min"), ("id", "max"), ("here", "sum")])
        found = found.filter(pc.greater(found.column("id_count"), 1)).sort_by("number")
        share = (pc.sum(found.column("here_sum")).as_py() or 0) / len(ids)
        if share > CHANCE:
            example = (
                f"{found.column('id_min')[0].as_py()[:60]!r} and {found.column('id_max')[0].as_py()[:60]!r}. Are they one {role}? "
                "Spreadsheets, and programs that take ids for numbers, remove zeros at the start: write ids as text"
            )
            name = f"share of {role}s that differ in zeros at the start alone"
            yield Check(name, "warn", share, high=CHANCE, example=example)
