"""Escapes: what a backslash in csv means, where `escape` is a backslash.

Without quotes (`quote: ""`) a backslash is that of MySQL, PostgreSQL and ClickHouse: it stands before a delimiter, a line end or
another backslash that belong to a value, and in \\t, \\n and \\N. With quotes it stands before a quote. Elsewhere programs differ:
MySQL takes \\n for a line end, Spark for two characters, and pandas for n.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ESCAPE, NULL = "\\", r"\N"
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "Z": "\x1a"}
UNCLEAR = (
    r"programs read a backslash in two ways here: MySQL takes \n for a line end and \\ for one backslash, Spark takes them as they are. "
    r"Write the value in quotes, with a backslash before quotes and backslashes alone; or set the source's option `quote` to '' if the "
    "file has no quotes, or `escape` to '' if a backslash has no meaning"
)


def has_escape(pieces: Iterable[bytes], quote: str) -> bool:
    """Whether a file holds a backslash that does not stand before a quote."""
    escape, last = re.compile(rb"\\[^" + re.escape(quote.encode()) + rb"]" if quote else rb"\\", re.DOTALL), b""
    for piece in pieces:
        if escape.search(last + piece):
            return True
        last = piece[-1:]
    return False


def ends_with_escape(text: str) -> bool:
    """Whether the line end after a text belongs to a value."""
    return (len(text) - len(text.rstrip(ESCAPE))) % 2 == 1


def split_escaped(text: str, delimiter: str) -> list[str]:
    r"""The fields of a row without quotes, unescaped; \N stays, as the word for a missing value that it is."""
    fields, start = [""], 0
    for found in re.finditer(rf"\\(.)|{re.escape(delimiter)}", text, re.DOTALL):
        fields[-1] += text[start : found.start()]
        start = found.end()
        if found[1] is None:
            fields.append("")
        else:
            fields[-1] += NULL if found[1] == "N" else CONTROLS.get(found[1], found[1])
    fields[-1] += text[start:]
    return fields


def is_unclear(text: str, delimiter: str, quote: str, places: Sequence[int]) -> bool:
    """Whether a field at one of these places has a backslash that is read in two ways: one outside quotes, or not before a quote or
    a backslash."""
    mark, between = re.escape(quote), re.escape(delimiter)
    field = re.compile(
        rf" *{mark}((?:\\.|[^{mark}\\]|{mark}{mark})*){mark} *(?:{between}|$)|(.*?)(?:{between}|$)", re.DOTALL
    )
    fields: list[tuple[str, bool]] = []
    start = 0
    while start <= len(text) and (found := field.match(text, start)):
        fields.append((found[2] or "", False) if found[1] is None else (found[1], True))
        start = found.end() if found.end() > start and found[0].endswith(delimiter) else len(text) + 1
    return any(_is_value_unclear(*fields[place], quote) for place in places if place < len(fields))


def _is_value_unclear(value: str, quoted: bool, quote: str) -> bool:
    if value.strip() == NULL or ESCAPE not in value:
        return False
    return not quoted or any(letter not in (quote, ESCAPE) for letter in re.findall(r"\\(.)", value, re.DOTALL))
