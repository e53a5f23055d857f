"""Doubtful values: texts of another encoding than their file was said to have, and times that stand for a missing one, are shown."""

from __future__ import annotations

import pytest

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Counts
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import DAY, changed, look, plan, rows

YEARS = 20_454 * DAY  # 2026-01-01


@pytest.mark.parametrize(
    ("written", "encoding", "read_as"),
    [
        ("\u201ctrail\u201d", "cp1252", "latin-1"),
        ("\u6620\u753b", "iso2022_jp", "utf-8"),
        ("\u6620\u753b", "shift_jis", "latin-1"),
        ("caf\xe9", "utf-8", "latin-1"),
        ("caf\xe9", "utf-8", "cp1252"),
        ("\xc9t\xe9", "utf-8", "cp1252"),
        ("women\u2019s", "utf-8", "cp1252"),
    ],
)
def test_a_category_of_another_encoding_is_shown(written: str, encoding: str, read_as: str) -> None:
    value = written.encode(encoding).decode(read_as)
    seen, lake = look(changed(rows(), "category", {0: value, 7: value}))
    (reason,) = seen.reasons
    assert seen.verdict == "warned" and lake.reasons() == {}
    assert f"rows whose category is of another encoding is 2, allowed is at most 0: {value!a}. Such" in reason


def test_an_id_of_another_encoding_is_shown() -> None:
    (reason,) = look(changed(rows(), "user", {3: "Jos\xc3\xa9"}))[0].reasons
    assert r"rows whose user_id is of another encoding is 1, allowed is at most 0: 'Jos\xc3\xa9'" in reason


def test_letters_of_every_country_are_no_other_encoding() -> None:
    words = [
        "caf\xe9",
        "voil\xe0\xa0\xbb",
        "S\xc3O",
        "\xc2ME",
        "\u6620\u753b",
        "\u041f\u0440\u0438",
        "\u201ctrail\u201d",
        "\u20ac5",
        "\xf1\xbb",
    ]
    assert not look(changed(rows(), "category", dict(enumerate(words))))[0].reasons


@pytest.mark.parametrize(("first", "shown"), [([0] * 3, 3), ([0, 3_600_000_000], 2), ([DAY], 0)])
def test_times_of_0_among_times_of_these_days_are_shown(first: list[int], shown: int) -> None:
    """With equal counts no calendar keeps them out: they were the oldest rows, and in the first period."""
    later = [YEARS + n for n in range(400 - len(first))]
    assert _reasons([*first, *later]) == (
        [f"warning: rows at the start of 1970 is {shown}, allowed is at most 0: a missing time"] if shown else []
    )


def test_a_log_that_counts_its_rows_from_0_has_no_missing_times() -> None:
    assert _reasons([n * 1_000_000 for n in range(400)]) == []
    assert _reasons([0] * 400) == ["warning: rows at the start of 1970 is 400, allowed is at most 0: a missing time"]


def _reasons(micros: list[int]) -> list[str]:
    table = changed(rows(), "time", dict(enumerate(micros)))
    counts = plan().model_copy(update={"periods": Counts(rows=400)})
    seen = validate_period(SmallLake(table), counts, Period(0, "000000", None, None, 400), 1, EarlierNights())  # type: ignore[arg-type]
    return [reason.partition(" is often")[0] for reason in seen.reasons]
