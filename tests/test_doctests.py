"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
MODULES = [
    ".".join(("nightloop", *path.relative_to(HOUSE).with_suffix("").parts)).removesuffix(".__init__")
    for room in ("flows", "tasks")
    for path in sorted((HOUSE / room).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", [*MODULES, "tests.correctors.replay", "tests.count_code_lines"])
def test_the_examples_of_a_module_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed
