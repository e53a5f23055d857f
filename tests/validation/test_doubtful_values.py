"""Doubtful values: texts of another encoding than their file was said to have, and times that stand for a missing one, are shown."""

from __future__ import annotations

import random

import pytest

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Counts
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import DAY, changed, look, plan, rows, told

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
    (reason,) = told(changed(rows(), "user", {3: "Jos\xc3\xa9"}))
    assert r"rows whose user_id is of another encoding is 1, allowed is at most 0: 'Jos\xc3\xa9'" in reason


@pytest.mark.parametrize("text", ["?????", "???? ??? 12", "Product ????", "????-???", "\xbf\xbf\xbf\xbf"])
def test_letters_that_became_question_marks_are_shown(text: str) -> None:
    """snipe-it 1023, easy-digital-downloads 481: an encoding without these letters wrote ? for each, and several names became one."""
    for column, name in (("category", "category"), ("item", "item_id")):
        (reason,) = told(changed(rows(), column, {3: text}))
        assert f"rows whose {name} is of another encoding is 1, allowed is at most 0: {text!a}" in reason
    assert not told(changed(rows(), "category", {3: "Who?", 4: "a?b=1", 5: "What???", 6: "??", 7: "/p?q=???&r"}))


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
    assert not told(changed(rows(), "category", dict(enumerate(words))))


@pytest.mark.parametrize(("first", "shown"), [([0] * 3, 3), ([0, 3_600_000_000], 2), ([], 0)])
def test_times_of_0_among_times_of_these_days_are_shown(first: list[int], shown: int) -> None:
    """With equal counts no calendar keeps them out: they were the oldest rows, and in the first period."""
    later = [YEARS + n for n in range(400 - len(first))]
    assert _reasons([*first, *later]) == (
        [f"warning: rows at the start of 1970 is {shown}, allowed is at most 0: a missing time"] if shown else []
    )


def test_times_far_from_all_others_are_shown() -> None:
    """The clicks of Taobao (UserBehavior) of nine days in 2017 have some of 2037, which were the newest rows."""
    near = [YEARS + n * 60_000_000 for n in range(398)]
    for far, example in ((YEARS + 7000 * DAY, "2045-03-02 00:00:00"), (YEARS - 7000 * DAY, "2006-11-02 00:00:00")):
        (reason,) = _reasons([*near, far, far])
        shown = f"warning: rows at times far from all others is 2, allowed is at most 0: {example}, and the others go from 2026-01-01 00:0"
        assert reason.startswith(shown)
    assert (
        _reasons([YEARS + n * DAY for n in range(400)]) == _reasons([*near, YEARS + 300 * DAY, YEARS + 301 * DAY]) == []
    )


@pytest.mark.parametrize(
    ("first", "step", "shown"),
    [
        (639_028_584_000_000_000 // 1000, 10_000, "1990-04-02 03:56:27"),  # unfurl 130: ticks of .NET, taken for ns
        (134_117_280_000_000_000 // 1000, 10_000, "1974-04-02 06:48:03"),  # SwiftDate 808: FILETIME
        (788_918_400_000_000, 1_000_000, ""),
        (0, 31_536_000, ""),
    ],
)
def test_times_of_years_without_logs_are_shown(first: int, step: int, shown: str) -> None:
    reasons = _reasons([first + n * step for n in range(400)])
    assert len(reasons) == bool(shown)
    assert all(
        f"rows at times between 1973 and 1995 is 400, allowed is at most 0: the newest is {shown}" in r for r in reasons
    )


@pytest.mark.parametrize("written", ["{0} {1}", "{0}, {1},{2}", "N{0}-1 N{1}-0", "B00{0};B00{1}", "{0}|{1}|{2}"])
def test_several_items_in_one_value_are_shown(written: str) -> None:
    """cornac 577, and the impressions of MIND: a list of items was one item."""
    values = {n: written.format(n, n + 1, n + 2) for n in range(400)}
    (reason,) = told(changed(rows(), "item", values))
    assert (
        f"share of items that look like several is 1, allowed is at most 0.5: {min(values.values())!r}. A row" in reason
    )
    titles = {n: f"Apollo {n} and others" for n in range(400)}
    for single in (titles, dict.fromkeys(range(150), "1 2"), {n: f"2026-01-{n}_x-{n}" for n in range(400)}):
        assert not told(changed(rows(), "item", single))


@pytest.mark.parametrize("date", ["1-Feb", "Mar-01", "01-Feb-26", "2/1/2026"])
def test_a_few_ids_that_are_dates_are_shown(date: str) -> None:
    """ColoradoRLA 783: a spreadsheet makes dates of ids such as 1-2-3."""
    ids = {n: f"{n}-{n}" for n in range(400)}
    (reason,) = told(changed(rows(), "item", {**ids, 5: date}))
    assert f"items that look like dates is 1, allowed is at most 0: {date!r}. A spreadsheet" in reason
    for others in ({**ids, 5: "MAR-01", 6: "May", 7: "1-2"}, {n: f"{n % 28 + 1}-Feb-{n:04d}" for n in range(400)}):
        assert not told(changed(rows(), "item", others))


@pytest.mark.parametrize("written", ["9f1c2d{:03d}-ab", "user{:03d}@x.org"])
def test_ids_that_differ_in_case_alone_are_shown(written: str) -> None:
    """fhir-works 698 and PrairieLearn 14399: UUIDs in capitals and in small letters were two users."""
    ids = {n: written.format(n % 200) for n in range(400)}
    some = {n: id_.upper() if n > 390 else id_ for n, id_ in ids.items()}
    (reason,) = told(changed(rows(), "user", some))
    one, other = written.format(191).upper(), written.format(191)
    share = "share of users that differ in upper and lower case alone is 0.08612, allowed is at most 0.01"
    assert f"{share}: {one!r} and {other!r}. Are they one user?" in reason
    for others in (
        ids,
        {n: id_.upper() if n == 399 else id_ for n, id_ in ids.items()},
        {n: "aA"[n % 2] for n in range(400)},
    ):
        assert not told(changed(rows(), "user", others))


@pytest.mark.parametrize("id_", ["0", "-1", "guest"])
def test_a_user_that_stands_for_everybody_is_shown(id_: str) -> None:
    """gorse 419, and Yandex' and KKBOX' logs: rows of visitors without a login have one id."""
    ids = {n: f"u{n}" for n in range(400)}
    (reason,) = told(changed(rows(), "user", {**ids, **dict.fromkeys(range(60), id_)}))
    assert f"share of rows of one user is 0.15, allowed is at most 0.1: {id_!r}. Does it stand for everybody" in reason
    for others in (dict.fromkeys(range(30), id_), {n: id_ if n < 60 else f"u{n % 100}" for n in range(400)}):
        assert not told(changed(rows(), "user", {**ids, **others}))


def test_a_log_that_counts_its_rows_from_0_has_no_missing_times() -> None:
    assert _reasons([n * 1_000_000 for n in range(400)]) == []
    assert _reasons([0] * 400) == ["warning: rows at the start of 1970 is 400, allowed is at most 0: a missing time"]


def test_a_clock_of_12_hours_is_shown() -> None:
    """etaoin 192, nifi 878, egovframe 230: Java's hh, with which the afternoon was the morning."""
    day = [n * DAY // 400 for n in range(400)]
    half = [YEARS + ((n // 3_600_000_000 + 11) % 12 + 1) * 3_600_000_000 + n % 3_600_000_000 for n in day]
    (reason,) = _reasons(half)
    shown = "rows between 1:00 and 12:59 o'clock is 400, allowed is at most 0: 2 times a row at 1 o'clock comes after one at 12 o'clock"
    assert shown in reason
    assert _reasons(sorted(half)) == []  # as of shops that are open so, in another time zone
    assert _reasons([YEARS + n for n in day]) == _reasons([YEARS + n * 7 % DAY for n in half]) == []


def test_a_clock_of_12_hours_is_shown_where_rows_come_in_no_order() -> None:
    hour = 3_600_000_000
    even = [YEARS + (n % 12 + 1) * hour + n * 7919 * 1_000_000 % hour for n in range(1200)]
    (reason,) = _reasons(random.Random(1).sample(even, 1200))
    assert (
        "rows between 1:00 and 12:59 o'clock is 1,200, allowed is at most 0: each of these hours has rows, 100 or more"
        in reason
    )
    few_at_first = [
        at for at in even if at // hour % 24 != 1 or at // 1_000_000 % 5 == 0
    ]  # a shop that is open so, in another time zone
    for others in (few_at_first, [at + hour for at in even]):
        assert _reasons(random.Random(1).sample(others, len(others))) == []


def _reasons(micros: list[int]) -> list[str]:
    table = changed(rows(len(micros)), "time", dict(enumerate(micros)))
    counts = plan().model_copy(update={"periods": Counts(rows=len(micros))})
    seen = validate_period(SmallLake(table), counts, Period(0, "000000", None, None, len(micros)), 1, EarlierNights())  # type: ignore[arg-type]
    return [reason.partition(" is often")[0] for reason in seen.reasons]


@pytest.mark.parametrize(
    ("first", "step", "oldest"),
    [
        (46_023_416_670, 10_000, "12:47:03.41667"),  # r4ds 1744: days of a spreadsheet
        (
            1_767_261_000_000,
            1_000_000,
            "10:54:21",
        ),  # frigate 22688: seconds of pandas 3, a thousandth of what they were
        (20_454_000_000, 1_000_000, "05:40:54"),  # days since 1970 of Kafka Connect
    ],
)
def test_times_that_count_something_else_than_seconds_are_shown(first: int, step: int, oldest: str) -> None:
    (reason,) = _reasons([first + n * step for n in range(400)])
    assert (
        f"rows at times before 1973 is 400, allowed is at most 0: the oldest is 1970-01-{1 + first // DAY:02d} {oldest}. Are"
        in reason
    )
