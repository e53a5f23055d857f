"""Category writings: one value of a category in two writings, such as Mobile and mobile, 07 and 7, or drama|comedy and drama,comedy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nightloop.tasks.lake.values import BETWEEN
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.period_checks import Check

SHARE = 0.01  # of all rows, which each of two writings has at least


def category_writing_checks(warehouse: Warehouse, columns: Columns) -> Iterator[Check]:
    """A check that fails for each categorical column of which a value has two writings in a version of a period."""
    names = [name for name in columns.categorical if name not in (columns.user, columns.item)]
    rows = warehouse.query("validate/category_values", {"columns": names}).to_pylist() if names else []
    for name in names:
        values: dict[str, float] = {}
        for row in rows:
            if row["field"] == name:
                for value in row["value"].split(BETWEEN) if name in columns.multi_value else (row["value"],):
                    values[value] = values.get(value, 0.0) + row["rows"] / row["all_rows"]
        frequent = [value for value, share in values.items() if share >= SHARE]
        forms: dict[str, str] = {}
        pairs = [(forms[form], value) for value in frequent if forms.setdefault(form := _form(value), value) != value]
        if name in columns.multi_value:
            parts = ((value, [part.strip() for part in re.split("[,;/]", value)]) for value in frequent)
            pairs += [(value, found[0]) for value, found in parts if len(found) > 1 and {*found} <= {*values}]
        if pairs:
            first, other = pairs[0]
            how = f"in one way, and {BETWEEN} between several" if name in columns.multi_value else "in one way"
            example = f"{first[:60]!r} and {other[:60]!r}. Are they one value? A model takes them for two: write each value {how}"
            yield Check(f"values of {name[:60]} in two writings", "warn", float(len(pairs)), high=0, example=example)


def _form(value: str) -> str:
    """A value without capitals, without zeros before a number, and with one blank where it has blanks, _ or -."""
    plain = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", value.casefold())
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain
