"""Comment names: comments that name the columns of the rows below them, as W3C logs (`#Fields:`) and those of Zeek (`#fields`) have.

A program that is told to write other columns writes such a comment again, in the middle of a file or in the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nightloop.tasks.plan.errors import DataError

NAMING = re.compile("# ?fields[:\t]", re.I)


def comment_names(line: str) -> list[str]:
    """The names that a comment gives to the columns; none if it does not."""
    found = NAMING.match(line)
    return line[found.end() :].split() if found else []


def refuse_moved_columns(place: str, found: Sequence[str], before: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError if a comment has its names `found` in another order than an earlier one of the file, or than `names`, the plan's.

    `place`: the file and the line, for people. All have as many names as a row has fields.
    """
    for one, other in zip(found, before, strict=False):
        if one.casefold() != other.casefold():
            raise DataError(
                f"{place}: a comment names the columns again, and {one[:60]!r} where {other[:60]!r} stood, so that values would be read in "
                "the wrong columns: deliver the rows below it with their columns in the order of those above"
            )
    folded = [name.casefold() for name in found]
    for n, name in enumerate(names):
        if name.casefold() in folded and folded[n] != name.casefold():
            raise DataError(
                f"{place}: a comment calls column {folded.index(name.casefold()) + 1} {name[:60]!r}, and the source's option `names` calls "
                f"column {n + 1} so: give the names in the order of the file, and deliver all files with their columns in one order"
            )
