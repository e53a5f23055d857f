"""Statements: the files of `sql/`, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (files("nightloop.sql") / f"{name}.sql").read_text(encoding="utf-8")


def fill_in(text: str, words: Mapping[str, str]) -> str:
    """A statement that takes no parameters, with its quoted words '$name' and "$name" filled in and quotes doubled."""

    def word(match: re.Match[str]) -> str:
        return match[1] + words[match[2]].replace(match[1], 2 * match[1]) + match[1]

    return re.sub(r"""(['"])\$([a-z_]+)\1""", word, text)
