"""Unicode forms: ids that look alike and are different texts, such as é as one character and as e with an accent after it.

Other such pairs: 12 and the wide digits １２ or the Arabic ones ١٢, an id and the same with a soft hyphen or another character that
cannot be seen, and an id and the same as it stands in an address or in HTML: a%20b, a&amp;b.

Ids stay as they are written, because a service is asked for them as they are. If a period has an id in two forms, or in
another form than earlier nights, its validation has a warning with an example.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

# Characters without a shape of their own: soft hyphens, joiners, marks of direction, selectors of a variant, fillers.
UNSEEN = "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
MINUS = "\u2212"  # which a spreadsheet, or a program in Norwegian or Swedish, writes before a number
OTHER_DIGITS = r"[^\P{Nd}0-9]"
CODED = "%[0-9A-Fa-f]{2}|&(#[0-9]+|#[xX][0-9A-Fa-f]+|[A-Za-z]+);"  # of addresses and of HTML


def two_form_checks(warehouse: Warehouse, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """A check that fails for users, and for items, of a version of a period of which two forms are known; else none."""
    rows = warehouse.query("validate/unicode_ids", {"coded": CODED})
    for role in ("user", "item"):
        ids = rows.filter(pc.equal(rows.column("role"), role)).column("id").combine_chunks()
        if not len(ids):
            continue
        known = pa.array([], ids.type) if vocabulary is None else vocabulary.ids[role].cast(ids.type)
        plain = _forms(ids).unique()
        plain = plain.filter(pc.invert(_is_other(plain)))
        if len(plain):
            asked = {"role": role, "ids": plain.to_pylist()}
            there = warehouse.query("validate/ids_there", asked).column("id").combine_chunks().cast(ids.type)
            ids = pa.concat_arrays([ids, there, plain.filter(pc.is_in(plain, known))])
        count, one, other = _find_two_forms(ids, known.filter(_is_other(known)))
        if count:
            example = (
                f"{ascii(one)[:80]} and {ascii(other)[:80]} look alike and are two {role}s. Write each id in one Unicode form at the "
                "source, such as NFKC, without characters that cannot be seen and without codes such as %20 and &amp;"
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


def _is_other(ids: pa.Array) -> pa.Array:
    """Whether an id may be another form of a plain one."""
    return pc.or_(pc.invert(pc.string_is_ascii(ids)), pc.match_substring_regex(ids, CODED))


def _forms(ids: pa.Array) -> pa.Array:
    """What ids look like: wide digits and letters as usual ones, accents with their letter, no codes, and nothing that cannot be seen."""
    coded = pc.match_substring_regex(ids, CODED)
    if pc.any(coded).as_py():
        plain = pa.array([_decode(text) for text in ids.filter(coded).to_pylist()], ids.type)
        ids = pc.replace_with_mask(ids, coded, plain)
    forms = pc.replace_substring_regex(pc.utf8_normalize(ids, "NFKC"), UNSEEN, "")
    forms = pc.replace_substring(forms, MINUS, "-")
    others = pc.match_substring_regex(forms, OTHER_DIGITS)
    if pc.any(others).as_py():
        usual = pa.array([_usual_digits(text) for text in forms.filter(others).to_pylist()], ids.type)
        forms = pc.replace_with_mask(forms, others, usual)
    return forms


def _decode(text: str) -> str:
    """The text without codes; as it is if they are none of UTF-8, or of what no text has."""
    try:
        decoded = html.unescape(unquote(text, errors="strict"))
        decoded.encode()
    except UnicodeError:
        return text
    return decoded


def _usual_digits(text: str) -> str:
    return "".join(str(unicodedata.digit(letter)) if letter.isdecimal() else letter for letter in text)
