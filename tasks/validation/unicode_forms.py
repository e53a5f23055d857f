"""Unicode forms: ids that look alike and are different texts, such as é as one character and as e with an accent after it.

Other such pairs: 12 and the wide digits １２, an id and the same with a soft hyphen or another character that cannot be seen.

Ids stay as they are written, because a service is asked for them as they are. If a period has an id in two forms, or in
another form than earlier nights, its validation has a warning with an example.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

# Characters without a shape of their own: soft hyphens, joiners, marks of direction, selectors of a variant, fillers.
UNSEEN = "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"


def two_form_checks(warehouse: Warehouse, period: int, version: int, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """A check that fails for users, and for items, of a version of a period of which two forms are known; else none."""
    rows = warehouse.query("validate/unicode_ids", {"period": period, "version": version})
    for role in ("user", "item"):
        ids = rows.filter(pc.equal(rows.column("role"), role)).column("id").combine_chunks()
        if not len(ids):
            continue
        known = pa.array([], ids.type) if vocabulary is None else vocabulary.ids[role].cast(ids.type)
        plain = _forms(ids).unique()
        plain = plain.filter(pc.string_is_ascii(plain))
        if len(plain):
            place = {"period": period, "version": version, "role": role, "ids": plain.to_pylist()}
            there = warehouse.query("validate/ids_there", place).column("id").combine_chunks().cast(ids.type)
            ids = pa.concat_arrays([ids, there, plain.filter(pc.is_in(plain, known))])
        count, one, other = _find_two_forms(ids, known.filter(pc.invert(pc.string_is_ascii(known))))
        if count:
            example = (
                f"{ascii(one)[:80]} and {ascii(other)[:80]} look alike and are two {role}s. Write each id in one Unicode form at the "
                "source, such as NFKC, without characters that cannot be seen"
            )
            yield Check(f"{role}s in two Unicode forms", "warn", float(count), high=0.0, example=example)


def _find_two_forms(ids: pa.Array, known: pa.Array) -> tuple[int, str, str]:
    """Of how many ids another form is among these or the known ones, and the first such pair."""
    every = pc.unique(pa.concat_arrays([ids, known]).drop_null())
    table = pa.table({"form": _forms(every), "id": every})
    forms = table.group_by("form").aggregate([("id", "count"), ("id", "min"), ("id", "max")])
    found = forms.filter(pc.greater(forms.column("id_count"), 1))
    found = found.filter(pc.is_in(found.column("form"), _forms(ids))).sort_by("form")
    if not found.num_rows:
        return 0, "", ""
    return found.num_rows, found.column("id_min")[0].as_py(), found.column("id_max")[0].as_py()


def _forms(ids: pa.Array) -> pa.Array:
    """What ids look like: wide digits and letters as usual ones, accents with their letter, nothing that cannot be seen."""
    return pc.replace_substring_regex(pc.utf8_normalize(ids, "NFKC"), UNSEEN, "")
