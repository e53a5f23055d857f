"""Column relations: what tells the label alone, users and items that are something else, moved columns, and rows of the period before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from nightloop.tasks.validation.clean_copy import clean_rows
from nightloop.tasks.validation.column_relations import relation_checks
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from nightloop.tasks.validation.period_checks import Check
from tests.lake.make_lake import day, lake
from tests.lake.make_lake import plan as day_plan
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import DAY, plan, rows

ROWS = 1500
RANDOM = np.random.default_rng(3)
LABEL = (RANDOM.random(ROWS) < 0.2).astype(float)


def _checks(named: str | None = "clicked", **columns: object) -> list[Check]:
    label = columns.pop("label", pa.array(LABEL))
    counts = {"clean": ROWS, "reasons": {}, "label_rate": float(np.mean(label))}
    lake = SmallLake(rows(ROWS, 0, label=label, **columns))
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*relation_checks(lake, plan(named), counts, {})]  # type: ignore[arg-type]


def _drawn(most: int, seed: int = 1, start: int = 0) -> list[str]:
    return [str(n) for n in np.random.default_rng(seed).integers(start, start + most, ROWS)]


def test_features_that_are_known_before_the_label_are_not_mentioned() -> None:
    assert not _checks()
    helpful = 10 + 3 * LABEL + RANDOM.normal(0, 2, ROWS)
    assert not _checks(
        price=pa.array(helpful),
        category=pa.array(["a" if (one and n % 3) or n % 11 == 0 else "b" for n, one in enumerate(LABEL)]),
    )
    never = pa.array(
        [0.0 if n % 25 == 0 and not one else 1.0 for n, one in enumerate(LABEL)]
    )  # such as an ad that was not in view
    assert not _checks(price=never)


@pytest.mark.parametrize("watched", [
    [30.0 + n % 7 if one else 0.0 for n, one in enumerate(LABEL)],
    [30.0 + n % 7 if one else None for n, one in enumerate(LABEL)],
    [-1.0 if one else float(n % 7) for n, one in enumerate(LABEL)],
])  # fmt: skip
def test_a_number_that_tells_the_label_is_shown(watched: Sequence[float | None]) -> None:
    """predict-taxi-trip-duration 2: a duration is a feature of its own label."""
    (check,) = _checks(price=pa.array(watched))
    assert (
        check.name == "AUC of price alone" and check.observed > 0.995 and "tells the label by itself" in check.example
    )


@pytest.mark.parametrize("category", [
    [f"o{n}" if one else None for n, one in enumerate(LABEL)], ["buy" if one else "view" for one in LABEL],
    [f"o{n}" if one else "-1" for n, one in enumerate(LABEL)], [None if one else f"skipped {n}" for n, one in enumerate(LABEL)],
])  # fmt: skip
def test_a_category_that_tells_the_label_is_shown(category: Sequence[str | None]) -> None:
    """Criteo's attribution data (rtb-papers 6): the number of a conversion is there where there was one."""
    (check,) = _checks(category=pa.array(category))
    assert check.name == "AUC of category alone" and check.observed > 0.995


def test_features_may_have_any_name() -> None:
    """Names that the statements use are those that a plan cannot have."""
    table = rows(
        ROWS, 0, label=pa.array(LABEL), learned=pa.array(LABEL), _seconds=pa.array(LABEL), field=pa.array(["x"] * ROWS)
    )
    given = plan()
    columns = given.columns.model_copy(update={"numeric": ("learned", "_seconds"), "categorical": ("field",)})
    lake_of_rows = SmallLake(table)
    with clean_rows(lake_of_rows, 0, 1, 1):  # type: ignore[arg-type]
        found = relation_checks(
            lake_of_rows,
            given.model_copy(update={"columns": columns}),
            {"clean": ROWS, "reasons": {}, "label_rate": 0.2},
            {},
        )  # type: ignore[arg-type]
        assert sorted(check.name for check in found) == ["AUC of _seconds alone", "AUC of learned alone"]


def test_values_that_only_rows_of_the_rarer_label_have_are_shown() -> None:
    """Eight of ten clicks were watched for some seconds, and nothing else was."""
    (check,) = _checks(price=pa.array([5.0 + n % 9 if one and n % 5 else 0.0 for n, one in enumerate(LABEL)]))
    assert check.name == "rows in which price tells the label" and check.observed > 200
    assert "where it is not '0.0', the label is always 1" in check.example


def test_a_number_that_counts_the_row_itself_is_shown() -> None:
    """The clicks of a user up to this row, and this one: a row with a click never has 0."""
    (check,) = _checks(price=pa.array([float(one + (n % 7 == 0)) for n, one in enumerate(LABEL)]))
    assert (
        check.name == "rows in which price tells the label"
        and "where it is '0.0', the label is never 1" in check.example
    )
    assert not _checks(price=pa.array([float(n % 7 == 0) for n in range(ROWS)]))


def test_rows_of_two_labels_from_two_programs_are_shown() -> None:
    users = pa.array([f"u{n % 50}" if one else f"guest{n % 50}" for n, one in enumerate(LABEL)])
    assert [check.name for check in _checks(user=users)] == ["AUC of user_id alone"]
    times = [
        DAY + (n * 57_000_003 if one else n * 60_000_000) for n, one in enumerate(LABEL)
    ]  # those without a click at whole minutes
    (check,) = _checks(time=pa.array(times, pa.timestamp("us", tz="UTC")))
    assert check.name == "AUC of the seconds of ts alone" and "come from two programs" in check.example


def test_rows_of_one_label_alone_are_shown() -> None:
    """private-click-measurement 6: conversions come a day or two after the rows were collected."""
    for label in (0.0, 1.0):
        (check,) = _checks(label=pa.array([label] * ROWS))
        assert check.name == "rows of one label alone" and f"all rows have the label {label:.0f}" in check.example


def test_items_that_one_user_alone_has_are_shown() -> None:
    users = _drawn(300)
    orders = pa.array([f"{user}-{n % 3}" for n, user in enumerate(users)])
    (check,) = _checks(user=pa.array(users), item=orders)
    assert check.name == "rows of items of which each has one user alone" and "number of an order" in check.example
    shared = pa.array(["top" if n % 50 == 0 else order for n, order in enumerate(orders.to_pylist())])
    assert not _checks(user=pa.array(users), item=shared)


def test_users_that_have_one_item_alone_are_shown() -> None:
    users = _drawn(300)
    (check,) = _checks(user=pa.array(users), item=pa.array([f"s{int(user) % 40}" for user in users]))
    assert check.name == "rows of users of which each has one item alone"


def test_rows_whose_item_is_their_user_are_shown() -> None:
    users = _drawn(300)
    items = [user if n % 3 else "x" for n, user in enumerate(users)]
    assert "share of rows whose item is their user" in [
        check.name for check in _checks(user=pa.array(users), item=pa.array(items))
    ]


@pytest.mark.parametrize("role", ["user", "item"])
def test_the_number_of_a_row_is_shown(role: str) -> None:
    numbers = pa.array([str(n + 7) for n in range(ROWS)])
    (check,) = _checks(None, **{role: numbers})
    assert check.name == f"{role}s of one row each" and "the numbers from 7 to 1506" in check.example
    assert not _checks(None, **{role: pa.array([str(3 * n) for n in range(ROWS)])})  # so few may all come once
    assert not _checks(**{role: numbers})  # with a label, other columns tell of it


@pytest.mark.parametrize("start", [0, 5000])
def test_columns_that_moved_within_a_period_are_shown(start: int) -> None:
    """pandas 38656: rows are appended in another order of columns. Users and items may be the same numbers."""
    users = _drawn(600)
    items = [str(start + int(n)) for n in np.minimum(RANDOM.pareto(1, ROWS) * 3, 400)]
    assert not _checks(None, user=pa.array(users), item=pa.array(items))
    pairs = [(u, i) if n < 700 else (i, u) for n, (u, i) in enumerate(zip(users, items, strict=True))]
    (check,) = _checks(None, user=pa.array([u for u, _ in pairs]), item=pa.array([i for _, i in pairs]))
    assert check.name == "columns that moved within the period" and "after 4 eighths" in check.example
    by_user = sorted(zip(users, items, strict=True))  # a log that is sorted by user
    assert not _checks(None, user=pa.array([u for u, _ in by_user]), item=pa.array([i for _, i in by_user]))


def test_rows_of_the_period_before_with_other_times_are_shown(tmp_path: Path) -> None:
    """ol-data-platform 2629: each export holds the whole table, and its time is that of the export."""
    columns = Columns(user="user", item="item", time="time", label="label")
    the = day_plan(columns).model_copy(update={"columns": columns})
    draw = np.random.default_rng(4)
    table = [(f"u{draw.integers(300)}", draw.integers(90), draw.integers(2)) for _ in range(500)]
    other = [(f"u{draw.integers(300)}", draw.integers(90), draw.integers(2)) for _ in range(500)]
    with lake(tmp_path / "lake") as warehouse:
        for index, (kept, told) in enumerate(((table, False), (table + other[:9], True), (other, False))):
            lines = [
                f"{user},{item},2026-01-0{index + 1}T{n % 24:02d}:{n % 60:02d}:{n % 59:02d}.{n:03d},{label}"
                for n, (user, item, label) in enumerate(kept)
            ]
            (tmp_path / f"2026-01-0{index + 1}.csv").write_text("\n".join(["user,item,time,label", *lines]))
            landing = land_period(warehouse, Files(f"{tmp_path}/{{period}}.csv"), the, day(index))
            seen = validate_period(
                warehouse, the, day(index), landing.version, EarlierNights(versions=dict.fromkeys(range(index), 1))
            )
            assert any("share of rows of the period before" in reason for reason in seen.reasons) == told, (
                index,
                seen.reasons,
            )
