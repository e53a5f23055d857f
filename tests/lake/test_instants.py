"""Times as text: the form that most files have is read at once, and as all other forms are."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.settings import Settings

DAYS = (
    "2026-01-31",
    "2024-02-29",
    "2026-02-29",
    "2026-13-01",
    "2026-00-10",
    "1969-12-31",
    "0001-01-01",
    "0000-01-01",
    "9999-12-31",
)
CLOCKS = ("00:00:00", "23:59:59", "24:00:00", "23:59:60", "12:61:00", "25:00:00")
ENDS = (
    "",
    ".5",
    ".1000",
    ".123",
    ".1234",
    ".123456",
    ".1234567",
    ".123456789",
    "Z",
    ".123Z",
    "z",
    " ",
    ".",
    "+01",
    " CST",
    " UTC",
)


@pytest.mark.parametrize("unit", ["auto", "text", "s", "days"])
def test_a_time_in_the_usual_form_is_read_as_in_all_others(unit: str, tmp_path: Path) -> None:
    texts = ["".join(parts) for parts in product(DAYS, ("T", " "), CLOCKS, ENDS)]
    with Warehouse.open(Settings(home=tmp_path), "times") as lake:
        rows = lake.connection.execute(
            "SELECT text, instant(text, $unit), spelt(trim(text)) FROM (SELECT unnest($texts) AS text)",
            {"unit": unit, "texts": texts},
        ).fetchall()
    assert len(rows) == len(texts)
    assert [row for row in rows if row[1] != row[2]] == []
    read = {text: micros for text, micros, _ in rows}
    assert read["1969-12-31T23:59:59.123456"] == -876_544 and read["2024-02-29 00:00:00"] == 1_709_164_800_000_000
    assert read["2026-01-31 00:00:00.1000"] is None, "a program wrote 1000 milliseconds"
