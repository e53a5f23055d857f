"""Stray quotes and delimiters: lines that a reader makes other rows of, with nothing wrong to be seen in these rows.

A stray quote opens a field, and the next one, some lines later, closes it: a reader takes the rows between them
for the text of one field. A delimiter inside a value without quotes moves all values after it; if the last one is empty, a
reader takes the delimiter before it for the end of the line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import chain

import numpy as np

DIGITS = 4  # of a time, at least: those of its year
ANY = 1 << 30  # any number of empty fields


def has_irregular_row(pieces: Iterable[bytes], quote: str, delimiter: str, width: int, spare: int = ANY) -> bool:
    """Whether a line has the fields of a row and an odd number of quotes, one of them at the start of a field, after blanks or none.

    `spare`: or has more empty fields than these after the fields of a row.
    """
    mark, between, rest = quote.encode(), delimiter.encode(), b""
    if not mark and spare == ANY:
        return False
    empty_ends = [between + last + end for last in {b"", mark + mark} for end in (b"\n", b"\r")]
    for piece in chain(pieces, [b"\n"]):
        data = rest + piece
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        lines, rest = data[:end], data[end:]
        if mark and mark in lines and _is_in_lines(lines, mark, between, width):
            return True
        if (
            spare < ANY
            and any(empty in lines for empty in empty_ends)
            and _has_empty_fields(lines, mark, between, width + spare)
        ):
            return True
    return False


def _is_in_lines(data: bytes, mark: bytes, delimiter: bytes, width: int) -> bool:
    """The same of whole lines."""
    letters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero((letters == ord("\n")) | (letters == ord("\r")))
    if not len(ends):
        return False
    starts = np.concatenate([[0], ends[:-1] + 1])
    odd = np.bitwise_xor.reduceat(letters == mark[0], starts)
    for start, end in zip(starts[odd].tolist(), ends[odd].tolist(), strict=True):
        line = data[start:end]
        if line.count(delimiter) == width - 1 and any(
            field.lstrip(b" ").startswith(mark) for field in line.split(delimiter)
        ):
            return True
    return False


def _has_empty_fields(data: bytes, mark: bytes, delimiter: bytes, most: int) -> bool:
    """Whether one of these lines has more fields than `most`, and the last one is empty."""
    letters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero((letters == ord("\n")) | (letters == ord("\r")))
    starts = np.concatenate([[0], ends[:-1] + 1])
    before = np.searchsorted(np.flatnonzero(letters == delimiter[-1]), np.concatenate([[0], ends]))
    many = np.diff(before) >= most
    for start, end in zip(starts[many].tolist(), ends[many].tolist(), strict=True):
        line = data[start:end]
        if line.endswith((delimiter, delimiter + mark + mark)) and _count_fields(line, mark, delimiter) > most:
            return True
    return False


def _count_fields(line: bytes, mark: bytes, delimiter: bytes) -> int:
    """How many fields a line has; 0 if its quotes cannot be read."""
    if not mark or mark not in line or len(delimiter) > 1:
        return line.count(delimiter) + 1
    try:
        return len(
            next(csv.reader([line.decode("latin-1")], delimiter=delimiter.decode(), quotechar=mark.decode()), [])
        )
    except csv.Error:
        return 0


def are_rows(lines: list[str], delimiter: str, width: int, time: int) -> bool:
    """Whether the first and the last of lines that a quoted field joins have all fields of a row, a time among them."""
    ends = [line.split(delimiter) for line in (lines[0], lines[-1])]
    return all(len(fields) == width and sum(map(str.isdigit, fields[time])) >= DIGITS for fields in ends)
