"""Stray quotes: lines whose quotes do not match although they have all fields of a row.

A stray quote opens a field, and the next one, some lines later, closes it: a reader takes the rows between them
for the text of one field, and nothing is wrong with the row that it makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

DIGITS = 4  # of a time, at least: those of its year


def has_stray_quote(pieces: Iterable[bytes], quote: str, delimiter: str, width: int) -> bool:
    """Whether a line has the fields of a row and an odd number of quotes, one of them at the start of a field, after blanks or none."""
    if not quote:
        return False
    mark, between, rest = quote.encode(), delimiter.encode(), b""
    for piece in pieces:
        data = rest + piece
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        rest = data[end:]
        if mark in data and _is_in_lines(data[:end], mark, between, width):
            return True
    return mark in rest and _is_in_lines(rest + b"\n", mark, between, width)


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


def are_rows(lines: list[str], delimiter: str, width: int, time: int) -> bool:
    """Whether the first and the last of lines that a quoted field joins have all fields of a row, a time among them."""
    ends = [line.split(delimiter) for line in (lines[0], lines[-1])]
    return all(len(fields) == width and sum(map(str.isdigit, fields[time])) >= DIGITS for fields in ends)
