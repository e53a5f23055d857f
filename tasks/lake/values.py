"""Values: one writing for each id and each number, whatever the format of the file that it comes from.

It is a rule of the single value. Blanks around it go. A whole number has no decimal point: 12.0 is 12, as a number and as
text, because a tool that met one missing value writes all its whole numbers so. Exponents are read where the file says
that the value is a number; the text 1e3 stays text. Leading zeros stay. What stands for a missing value is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# What goes around a value. The last ones have no width, or say the direction of text: nobody would see which of two ids has one.
BLANKS = "".join(letter for letter in map(chr, range(0x3001)) if letter.isspace())
BLANKS += "\u200b\ufeff\u2060\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
MISSING = ""  # the id of a category that a row does not have
BETWEEN = "|"  # stands between the values of a row that has several
NULLS = ("", r"\n", r"\\n", "null", "none", "nan", "<na>")  # in lower case
NO_NUMBERS = ("na", "n/a", "#n/a", "-", "(null)")  # of numbers these too
LONGEST = 6  # bytes of the longest of them
FIRST_WORD = ord("<")  # the least byte of a word; digits, points and signs come before
WORDS = {"true": "1", "t": "1", "yes": "1", "y": "1", "false": "0", "f": "0", "no": "0", "n": "0"}
WHOLE = r"^(-?[0-9]+)\.0+$"
NOUGHT = r"^-0\.0+$"
EXACT = 2.0**63  # whole floats below it are written as whole numbers


def as_text(values: pa.Array) -> pa.Array:
    """Ids as text, null where one is missing. A float that is NaN is missing."""
    if pa.types.is_floating(values.type):
        values = _of_floats(values)
    elif not pa.types.is_string(values.type):
        values = values.cast(pa.string())
    if not len(values):
        return values
    values, letters = _present(values)
    if (letters == ord(".")).any():
        values = pc.replace_substring_regex(pc.replace_substring_regex(values, NOUGHT, "0"), WHOLE, r"\1")
    return values


def as_number(values: pa.Array) -> pa.Array:
    """Numbers as float64, null where one is missing; text as text, for the lake to read, its words for yes and no as 1 and 0."""
    if not pa.types.is_string(values.type):
        values = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(values), None, values)
    if not len(values):
        return values
    values, letters = _present(values, (*NULLS, *NO_NUMBERS))
    if letters.max(initial=0) < FIRST_WORD and not (letters == ord("-")).any():
        return values
    place = pc.index_in(pc.ascii_lower(values), pa.array(list(WORDS)))
    return pc.coalesce(pa.array(list(WORDS.values())).take(place), values)


def id_of(value: object) -> str | None:
    """The same of one value of Python: what a caller of the model says that it means."""
    if isinstance(value, float) and value == value // 1 and abs(value) < EXACT:
        return str(int(value))
    text = "" if value is None else str(value).strip(BLANKS)
    if text.lower() in NULLS:
        return None
    return re.sub(WHOLE, r"\1", re.sub(NOUGHT, "0", text))


def _of_floats(values: pa.Array) -> pa.Array:
    values = pc.if_else(pc.is_nan(values), None, values)
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), EXACT))
    return pc.if_else(
        whole, pc.if_else(whole, values, 0.0).cast(pa.int64()).cast(pa.string()), values.cast(pa.string())
    )


def _present(text: pa.Array, nulls: Sequence[str] = NULLS) -> tuple[pa.Array, npt.NDArray[np.uint8]]:
    """Text without blanks around it, null where it stands for a missing value; and its bytes.

    As a rule nothing has to be changed, which a look at the bytes tells in a hundredth of the time.
    """
    ends, letters = _bytes(text)
    if letters.min(initial=255) <= ord(" ") or letters.max(initial=0) > 127:
        text = pc.utf8_trim(text, BLANKS)
        ends, letters = _bytes(text)
    lengths = np.diff(ends)
    if not lengths.all() or ((letters.max(initial=0) >= FIRST_WORD or nulls != NULLS) and (lengths <= LONGEST).any()):
        text = pc.if_else(pc.is_in(pc.ascii_lower(text), pa.array(nulls)), None, text)
    return text, letters


def _bytes(text: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Where the values end among the bytes of a column of text, and all these bytes."""
    _, ends, data = text.buffers()
    offsets = np.frombuffer(ends, np.int32)[text.offset : text.offset + len(text) + 1]
    return offsets, np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
