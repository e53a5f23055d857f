"""Deciding values: the few that are put to a rule have one that breaks it exactly when some row breaks it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nightloop.tasks.validation.deciding_values import deciding_values
from nightloop.tasks.validation.row_rules import RowRule

RULES = [
    RowRule("number", "null"), RowRule("number", "range", 0.0, 9.0), RowRule("number", "values", allowed=(1.0, 2.0)),
    RowRule("text", "length", 0, 3), RowRule("text", "forbidden", pattern="x"), RowRule("text", "null"),
]  # fmt: skip
CLEAN = {"number": [1.0, 2.0, 1.0], "text": ["a", "b", "a"]}


def broken(rule: RowRule, value: object) -> bool:
    """Whether a value breaks a rule, computed without Great Expectations."""
    if rule.kind == "null" or value is None:
        return rule.kind == "null" and value is None
    if rule.kind == "range":
        return not rule.least <= value <= rule.most  # type: ignore[operator]
    return {"values": value not in rule.allowed, "length": len(str(value)) > 3, "forbidden": "x" in str(value)}[
        rule.kind
    ]


@pytest.mark.parametrize("most", [1, 3, 1000])
@pytest.mark.parametrize("place", [0, 4, 8])
@pytest.mark.parametrize(
    "bad",
    [{"number": None}, {"number": 12.0}, {"number": float("nan")}, {"text": "long"}, {"text": "x"}, {"text": None}, {}],
)
def test_a_rule_is_broken_by_its_deciding_values_if_and_only_if_by_a_row(
    bad: dict[str, object], place: int, most: int
) -> None:
    columns = {name: list(np.resize(np.array(values, object), 9)) for name, values in CLEAN.items()}
    for name, value in bad.items():
        columns[name][place] = value
    table = pa.table(
        {"number": pa.array(columns["number"], pa.float64()), "text": pa.array(columns["text"], pa.string())}
    )
    batches = [table.slice(start, 3) for start in (0, 3, 6)]
    found = {rule.code: False for rule in RULES}
    for values in deciding_values(RULES, batches, most):
        for rule in RULES:
            assert len(values[rule.code]) >= 1
            found[rule.code] |= any(broken(rule, value) for value in values[rule.code].to_pylist())
    rows = {
        rule.code: any(broken(rule, np.inf if value != value else value) for value in columns[rule.column])
        for rule in RULES
    }
    assert found == rows


def test_few_values_are_kept_of_many_rows() -> None:
    column = pa.array(np.arange(10_000) % 7, pa.float64())
    table = pa.table({"number": column, "text": pa.array(["a"] * 10_000)})
    (values,) = deciding_values(RULES, [table, table], 1000)
    assert {code: len(found) for code, found in values.items()} == {
        "number/null": 1, "number/range": 2, "number/values": 7, "text/length": 1, "text/forbidden": 1, "text/null": 1,
    }  # fmt: skip


def test_no_rows_decide_nothing() -> None:
    assert not list(deciding_values(RULES, [], 1000))
