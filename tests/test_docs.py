"""The names of the code that the documentation gives exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate

import pytest

HOUSE = Path(__file__).parents[1]
PAGES = sorted([*(HOUSE / "docs").rglob("*.md"), *HOUSE.glob("*.md")])


def names(text: str) -> Iterator[str]:
    """What a page imports in an example, what an API page shows, and dotted names between backticks."""
    for module, several in re.findall(r"^from (nightloop[\w.]*) import ([\w, ]+)$", text, re.M):
        yield from (f"{module}.{name.split()[0]}" for name in several.split(","))
    for place, members in re.findall(r"^::: (nightloop[\w.]*)(?:\n +options: \{members: \[([\w, ]+)\])?", text, re.M):
        yield place
        yield from (f"{place}.{name.strip()}" for name in members.split(",") if name.strip())
    yield from re.findall(r"`(nightloop(?:\.\w+)+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOUSE).as_posix())
def test_names_of_the_code_exist(page: Path) -> None:
    missing = [name for name in names(page.read_text()) if locate(name) is None]
    assert not missing, f"{page.name} names what is not there: {', '.join(missing)}"
