"""Check of relations: what `nightloop check` says of how columns and files relate, and that logs like public ones have no such fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nightloop.flows.check import check
from tests.flows.tiny_pipeline import raw_plan

Event = tuple[int, int, datetime]
COLUMNS = {"user": "user", "item": "item", "time": "time"}
CLICKS = {**COLUMNS, "label": "label"}
DAY = 86_400
TOLD = (
    "share of rows of one user",
    "quarantine share",
    "repeated rows",
    "duplicate",
    "share out of order",
)  # what these logs also have


def _events(day: int, many: int = 400, users: int = 300) -> list[Event]:
    """Events of a day in January, in order."""
    draw = np.random.default_rng(day)
    items = np.minimum(draw.pareto(1, many) * 3, 300).astype(int).tolist()
    seconds = np.sort(draw.integers(0, DAY - 1, many)).tolist()
    chosen = zip(draw.integers(0, users, many).tolist(), items, seconds, strict=True)
    return [
        (user, item, datetime(2026, 1, day, tzinfo=UTC) + timedelta(seconds=second)) for user, item, second in chosen
    ]


def _write(file: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if file.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)}), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(dict(zip(names, map(_plain, row), strict=True))) + "\n" for row in rows))
    else:
        lines = (",".join("" if value is None else str(_plain(value)) for value in row) for row in rows)
        file.write_text("\n".join([*([",".join(names)] if names else []), *lines]) + "\n")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _found(home: Path, path: str, columns: dict[str, Any], options: dict[str, Any] | None = None) -> dict[str, Any]:
    """What check finds, of a plan in which people take items again."""
    source = {"use": "files", "options": {"path": f"{home}/{path}", **(options or {})}}
    changes = {"source": source, "columns": columns, "ranking": {"negatives": 20, "repeats": True}}
    clicks = {"model": {"use": "FM"}, "strategies": {"still": {"use": "NoUpdate"}}} if "label" in columns else {}
    plan = home / "plan.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(home, changes | clicks)))
    return check(str(plan))


def _days(home: Path, ending: str, names: Sequence[str], row: Callable[[int, Event], Sequence[Any]]) -> None:
    for day in range(1, 6):
        _write(home / f"2026-01-0{day}.{ending}", names, [row(day, event) for event in _events(day)])


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_feature_that_tells_the_label_is_told(ending: str, tmp_path: Path) -> None:
    _days(tmp_path, ending, [*CLICKS, "order"], lambda day, e: (*e, e[0] % 5 // 4, e[0] if e[0] % 5 == 4 else None))
    problems = _found(tmp_path, f"{{period}}.{ending}", {**CLICKS, "categorical": ["order"]})["problems"]
    assert any("AUC of order alone is 1" in text and "'no value' for 0" in text for text in problems)


def test_columns_that_the_plan_does_not_use_may_differ_in_case_alone(tmp_path: Path) -> None:
    """A night takes such files; the check ended with an inner message of the reader of delimited text."""
    _days(tmp_path, "csv", [*COLUMNS, "id", "ID"], lambda day, e: (*e, day, e[0]))
    found = _found(tmp_path, "{period}.csv", COLUMNS)
    assert any("does not use: id, ID" in line for line in found["text"]) and not found["problems"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_times_of_a_column_that_the_plan_does_not_use_are_shown(ending: str, tmp_path: Path) -> None:
    """segment-docs 4749, mattermost-data-warehouse 1665: a row was received, or loaded, after it happened."""
    hour = lambda e: e[2].replace(minute=59, second=59)  # noqa: E731
    _days(
        tmp_path, ending, [*COLUMNS, "original_timestamp"], lambda day, e: (*e[:2], hour(e), e[2] - timedelta(hours=2))
    )
    found = _found(tmp_path, f"{{period}}.{ending}", COLUMNS)
    assert any(
        "original_timestamp: " in line and "times, and the plan's are 2" in line and "h later in the middle" in line
        for line in found["text"]
    )
    assert any(
        "the column original_timestamp has 4" in text and "that of the plan 24" in text for text in found["problems"]
    )
    _days(tmp_path, ending, [*COLUMNS, "loaded_at"], lambda day, e: (*e, e[2] + timedelta(hours=3)))
    found = _found(tmp_path, f"{{period}}.{ending}", COLUMNS)
    assert (
        any("the plan's are -3 h later in the middle (-3 h to -3 h)" in line for line in found["text"])
        and not found["problems"]
    )


def test_two_exports_of_one_period_are_told(tmp_path: Path) -> None:
    """Chirpity 130, home-assistant/frontend 27709: one export has local times, and the other UTC."""
    for day in range(1, 6):
        _write(tmp_path / f"2026-01-0{day}.app.csv", [*COLUMNS], _events(day))
        shifted = [(user, item, time + timedelta(hours=2)) for user, item, time in _events(day)]
        _write(tmp_path / f"2026-01-0{day}.web.csv", [*COLUMNS], [row for row in shifted if row[2].day == day])
    problems = _found(tmp_path, "{period}.*.csv", COLUMNS)["problems"]
    assert any(
        "most of them 7,200 seconds later in the second file. Do both hold the same events" in text for text in problems
    )
    assert any("share of rows just 7,200 seconds after another one" in text for text in problems)
    found = _found(tmp_path, "{period}.app.csv", COLUMNS)
    assert not found["problems"] and any("took before: " in line for line in found["text"])


def test_impressions_and_clicks_in_two_files_are_told(tmp_path: Path) -> None:
    """contentwise-impressions 3, rtb 1 (iPinYou): all rows of one file are clicks, and all of the other impressions."""
    for day in range(1, 6):
        rows = [(*event, 0) for event in _events(day)]
        _write(tmp_path / f"imp-{day}.csv", [*CLICKS], rows)
        _write(
            tmp_path / f"clk-{day}.csv",
            [*CLICKS],
            [(user, item, time + timedelta(seconds=9), 1) for user, item, time, _ in rows[::3]],
        )
    problems = _found(tmp_path, "*.csv", CLICKS)["problems"]
    assert any(
        "clk-1.csv and " in text and "have the user and the item of a row of the other" in text for text in problems
    )
    assert any("all 134 rows of " in text and "have the label 1, and others do not" in text for text in problems)


@pytest.mark.parametrize("start", [0, 5000])
def test_columns_that_moved_from_one_file_to_another_are_told(start: int, tmp_path: Path) -> None:
    _days(tmp_path, "csv", (), lambda day, e: (e[0], start + e[1], e[2]) if day < 4 else (start + e[1], e[0], e[2]))
    problems = _found(tmp_path, "{period}.csv", COLUMNS, {"names": [*COLUMNS]})["problems"]
    assert any(
        "2026-01-03.csv and " in text and "the users of one are the items of the other" in text for text in problems
    )


def test_swapped_users_and_items_are_told(tmp_path: Path) -> None:
    """implicit 738: the number of users seems to be the number of items."""
    draw, rows = np.random.default_rng(1), []
    for day in range(1, 4):
        for user in range(120):
            at = int(draw.integers(0, 70_000))
            for item in np.minimum(draw.pareto(1, 6) * 3, 60).astype(int).tolist():
                at += int(draw.exponential(60))
                rows.append((user, item, datetime(2026, 1, day, tzinfo=UTC) + timedelta(seconds=at)))
    _write(tmp_path / "log.csv", (), sorted(rows, key=lambda row: row[2]))
    for names, told in ((["item", "user", "time"], True), (["user", "item", "time"], False)):
        problems = _found(tmp_path, "log.csv", COLUMNS, {"names": names})["problems"]
        assert any("are users and items swapped" in text for text in problems) == told


def test_features_that_changed_from_one_file_to_another_are_told(tmp_path: Path) -> None:
    """php-sepa-xml 116, mcp-server-neon 329: amounts are cents since an upgrade, and a property is no longer copied."""
    features = {**COLUMNS, "categorical": ["device"], "numeric": ["price"]}
    _days(
        tmp_path,
        "jsonl",
        [*COLUMNS, "device", "price"],
        lambda day, e: (*e, "web" if day < 4 else None, (e[1] + 1.5) * (1 if day < 4 else 100)),
    )
    problems = _found(tmp_path, "{period}.jsonl", features)["problems"]
    assert any("price is " in text and "was it written in another unit" in text for text in problems)
    assert any("device is missing in all rows of " in text and "2026-01-05.jsonl" in text for text in problems)


def _movielens(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """Sorted by user, who rates items one after the other; the ids of both are numbers from 1 on."""
    rows = []
    for user in range(1, 120):
        at = int(draw.integers(0, 200 * DAY))
        for item in dict.fromkeys(np.minimum(draw.pareto(1, 40) * 20, 900).astype(int).tolist()):
            at += int(draw.integers(3, 60))
            rows.append((user, item + 1, 1_767_225_600 + at))
    return COLUMNS, rows


def _amazon(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """Sorted by item, at days, and nearly all users once."""
    return COLUMNS, [
        (f"A{draw.integers(10**6)}", f"B{n // 3}", 1_767_225_600 + int(draw.integers(200)) * DAY) for n in range(3000)
    ]


def _avazu(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """Times are hours, and many rows have one device."""
    columns = {**CLICKS, "time_format": "%y%m%d%H", "categorical": ["device"], "numeric": ["size"]}
    return columns, [
        (
            f"d{int(draw.pareto(0.5))}",
            f"s{int(draw.pareto(1))}",
            f"260101{n // 130:02d}",
            int(draw.random() < 0.17),
            n % 7 // 6,
            n % 3 * 50,
        )
        for n in range(3000)
    ]


def _mind(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """The items of an impression have one time, and one of them is clicked."""
    rows = []
    for n in range(300):
        items = draw.permutation(80)[:10].tolist()
        rows += [(f"U{n % 170}", f"N{item}", 1_767_225_600 + n * 280, int(k == n % 10)) for k, item in enumerate(items)]
    return CLICKS, rows


def _kuairec(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """Each user sees each item, and the label is whether a video was watched twice."""
    columns = {**CLICKS, "numeric": ["length"]}
    rows = [
        (user, item, 1_767_225_600 + int(draw.integers(20 * DAY)), int(draw.gamma(2, 0.5) > 2), 9000 + item)
        for user in range(30)
        for item in range(100)
    ]
    return columns, rows


def _yoochoose(draw: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """A user is a session, which never comes again."""
    rows = []
    for session in range(900):
        at = int(draw.integers(20 * DAY))
        for _ in range(1 + int(draw.pareto(1)) % 9):
            at += 1 + int(draw.exponential(60))
            rows.append((session + 1, 214_500_000 + int(draw.pareto(1) * 20) % 900, 1_767_225_600 + at))
    return COLUMNS, rows


@pytest.mark.parametrize("made", [_movielens, _amazon, _avazu, _mind, _kuairec, _yoochoose])
def test_logs_like_public_ones_have_no_such_relation(
    made: Callable[[np.random.Generator], tuple[dict[str, Any], list[Any]]], tmp_path: Path
) -> None:
    columns, rows = made(np.random.default_rng(2))
    names = [
        name
        for name in (*CLICKS, *columns.get("categorical", ()), *columns.get("numeric", ()))
        if name in {*columns, "device", "size", "length"}
    ]
    _write(tmp_path / "log.csv", names[: len(rows[0])], rows)
    found = _found(tmp_path, "log.csv", columns)
    assert not [text for text in found["problems"] if not any(known in text for known in TOLD)]
