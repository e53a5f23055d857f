"""Values: one form for each id and each number, whatever the format of its file.

The rules apply to each value. Blanks around it are removed. A whole number has no decimal point: 12.0 is 12, as a number
and as text, because tools write whole numbers so if one value is missing. Exponents are read if the file's type is a
number; the text 1e3 stays text. Leading zeros stay. Words for a missing value become null. A boolean is true or false,
however a program writes it. A time has no zeros at the end of its fraction, whatever unit its file has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.plan.errors import DataError

T = TypeVar("T", pa.RecordBatch, pa.Table)
# What is removed around a value. The last ones have no width, or set the direction of text, so they cannot be seen in an id; \0 fills
# a text of fixed length, and SQL Server's bcp writes it for an empty one.
BLANKS = "".join(letter for letter in map(chr, range(0x3001)) if letter.isspace())
BLANKS += "\u200b\ufeff\u2060\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\0"
MISSING = ""  # the id of a category that a row does not have
BETWEEN = "|"  # separates the values of a row that has several
NULLS = ("", r"\n", r"\\n", "null", "none", "nan", "<na>")  # in lower case
NO_NUMBERS = ("na", "n/a", "#n/a", "-", "(null)")  # in columns of numbers these too
LONGEST = 6  # bytes of the longest of them
UNDERSCORE = "_"
FIRST_WORD = ord("<")  # the smallest byte of a word; digits, points and signs are smaller
WORDS = {"true": "1", "t": "1", "yes": "1", "y": "1", "false": "0", "f": "0", "no": "0", "n": "0"}
# In columns of numbers that are no labels, T may be a trace of rain.
WHOLE_WORDS = {word: number for word, number in WORDS.items() if len(word) > 1}
# A whole number with decimals. Those that no float of 64 bits tells apart keep a single .0, which shows that they were such floats.
WHOLE = r"^(-?[0-9]{1,15}|-?[0-8][0-9]{15})\.0+$|^(-?[0-9]+)\.00+$"
WHOLE_DECIMAL = r"^(-?[0-9]+)\.0+$"
BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
ZEROS = r"(\.[0-9]*[1-9])0+(Z?)$|\.0+(Z?)$"  # at the end of the fraction of a second
NEGATIVE_ZERO = r"^-0\.0+$"
WHOLE_FLOATS = {16: 2**11, 32: 2**24, 64: 2**53}  # below these, floats of so many bits tell all whole numbers apart
EXACT = 2.0**63  # whole floats below it are written as whole numbers


def replace_column(batch: T, name: str, values: pa.Array | pa.ChunkedArray) -> T:
    """The batch or table with other values in a column that it has."""
    return batch.set_column(batch.schema.get_field_index(name), name, values)


def as_text(values: pa.Array) -> pa.Array:
    """Ids as text, null if missing. A float that is NaN is missing."""
    if pa.types.is_floating(values.type):
        values = _format_floats(values)
    elif not pa.types.is_string(values.type):
        values = _format_others(values)
    if not len(values):
        return values
    values, letters = _trim_and_null(values)
    if (letters == ord(".")).any():
        values = pc.replace_substring_regex(pc.replace_substring_regex(values, NEGATIVE_ZERO, "0"), WHOLE, r"\1\2")
    if (letters == ord("T")).any() or (letters == ord("F")).any():
        values = _fold_booleans(values)
    return values


def as_ids(values: pa.Array, name: str) -> pa.Array:
    """A column of ids as text. Raises DataError if it holds floats so large that several ids would be one number."""
    if pa.types.is_floating(values.type):
        large = pc.greater_equal(pc.abs(values.cast(pa.float64())), WHOLE_FLOATS[values.type.bit_width])
        if found := values.filter(pc.and_(large, pc.is_finite(values)))[:1].to_pylist():
            bits = values.type.bit_width
            raise DataError(
                f"the column {name[:60]!r} holds the number {found[0]:.0f} as a float of {bits} bits. Such floats tell whole numbers apart "
                f"below {WHOLE_FLOATS[bits]:,} only, so that several ids become one: write it as integers or as text"
            )
    return as_text(values)


def as_number(values: pa.Array, words: Mapping[str, str] = WORDS) -> pa.Array:
    """Numbers as float64, null if missing. Text stays text, for the lake to parse; words for yes and no become 1 and 0."""
    if not pa.types.is_string(values.type):
        if pa.types.is_decimal(values.type):
            values = values.cast(pa.string())  # cast at once, 100.1 would be 100.10000000000001
        values = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(values), None, values)
    if not len(values):
        return values
    values, letters = _trim_and_null(values, (*NULLS, *NO_NUMBERS))
    if letters.max(initial=0) < FIRST_WORD and not (letters == ord("-")).any():
        return values
    if (letters == ord(UNDERSCORE)).any():  # DuckDB takes 430548_1007 for 4305481007
        other = pc.binary_join_element_wise(values, f" (has {UNDERSCORE!r})", "")
        values = pc.if_else(pc.match_substring(values, UNDERSCORE), other, values)
    index = pc.index_in(pc.ascii_lower(values), pa.array(list(words)))
    return pc.coalesce(pa.array(list(words.values())).take(index), values)


def id_of(value: object) -> str | None:
    """The same for one Python value, as a caller of the model gives it."""
    if isinstance(value, bool | float):  # Arrow writes them otherwise than Python: true, 0.00001
        found: str | None = as_text(pa.array([value]))[0].as_py()
        return found
    text = "" if value is None else str(value).strip(BLANKS)
    if text.lower() in NULLS:
        return None
    return BOOLEANS.get(text, re.sub(WHOLE, r"\1\2", re.sub(NEGATIVE_ZERO, "0", text)))


def _format_floats(values: pa.Array) -> pa.Array:
    values = (
        values.cast(pa.float32()) if pa.types.is_float16(values.type) else values
    )  # Arrow does not compute with those
    values = pc.if_else(pc.is_nan(values), None, values)
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), EXACT))
    return pc.if_else(
        whole, pc.if_else(whole, values, 0.0).cast(pa.int64()).cast(pa.string()), values.cast(pa.string())
    )


def _fold_booleans(values: pa.Array) -> pa.Array:
    if not pc.any(pc.is_in(pc.binary_length(values), pa.array([4, 5], pa.int32()))).as_py():
        return values
    index = pc.index_in(values, pa.array(list(BOOLEANS)))
    return (
        values if index.null_count == len(index) else pc.coalesce(pa.array(list(BOOLEANS.values())).take(index), values)
    )


def _format_others(values: pa.Array) -> pa.Array:
    """Values that are neither texts nor floats, as text."""
    texts = values.cast(pa.string())
    if pa.types.is_timestamp(values.type):
        return pc.replace_substring_regex(texts, ZEROS, r"\1\2\3")
    return pc.replace_substring_regex(texts, WHOLE_DECIMAL, r"\1") if pa.types.is_decimal(values.type) else texts


def _trim_and_null(text: pa.Array, nulls: Sequence[str] = NULLS) -> tuple[pa.Array, npt.NDArray[np.uint8]]:
    """Text without blanks around it, null for words for a missing value; and its bytes.

    Usually nothing has to be changed, and a test of the bytes shows this in a hundredth of the time.
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
    """The offsets of the values in the bytes of a column of text, and these bytes."""
    _, ends, data = text.buffers()
    offsets = np.frombuffer(ends, np.int32)[text.offset : text.offset + len(text) + 1]
    return offsets, np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
