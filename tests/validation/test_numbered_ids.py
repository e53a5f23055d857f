"""Numbered ids: numbers that are other ids in each period, or none, signs inside ids, and lists that were cut off."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from nightloop.tasks.data.vocabulary import Vocabulary, empty_vocabulary, grow_vocabulary
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.clean_copy import clean_rows
from nightloop.tasks.validation.gx import EarlierNights
from nightloop.tasks.validation.id_shapes import cut_text_checks, id_shape_checks, numbered_id_checks
from nightloop.tasks.validation.period_checks import Check
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import changed, look, plan, rows

COLUMNS = Columns(user="user", item="item", time="time", categorical=("category",))


def _checks(ids: Sequence[object], role: str, before: Sequence[object] | None = None) -> list[Check]:
    table = changed(rows(len(ids)), role, dict(enumerate(map(str, ids))))
    lake = SmallLake(table)
    vocabulary = None if before is None else _known(role, before)
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*numbered_id_checks(lake, vocabulary), *id_shape_checks(lake)]  # type: ignore[arg-type]


def _known(role: str, ids: Sequence[object]) -> Vocabulary:
    """A vocabulary of these ids."""
    table = changed(rows(len(ids)), role, dict(enumerate(map(str, ids))))
    return grow_vocabulary(empty_vocabulary(plan().columns), table.append_column("period", [[0] * len(ids)]))


def _first_seen(ids: Sequence[int], start: int = 0) -> list[int]:
    """The ids as pandas' factorize numbers them."""
    seen: dict[int, int] = {}
    return [seen.setdefault(id_, len(seen) + start) for id_ in ids]


def _drawn(most: int, n: int = 400, seed: int = 1) -> list[int]:
    return [random.Random(seed + k * 97).randrange(most) for k in range(n)]


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize("start", [0, 1])
def test_ids_that_were_numbered_anew_are_shown(role: str, start: int) -> None:
    """scikit-learn 10324, DeepCTR 231, LibRecommender 61: each file was encoded by itself, so that a number is another id in each."""
    ids = _first_seen(_drawn(60), start)
    (check,) = _checks(ids, role, range(30))
    assert check.name == f"{role}s numbered without a gap" and "in the order in which they come first" in check.example
    assert not _checks(ids, role)  # a log that was numbered as a whole begins so
    encoded = [*range(55), *_drawn(55, 345)]
    random.Random(2).shuffle(encoded)
    (check,) = _checks(encoded, role, range(61))
    assert "each of which has a row" in check.example
    assert not _checks(encoded, role, range(58))  # the last of few were not there today


@pytest.mark.parametrize(
    ("ids", "before"),
    [
        (sorted(_drawn(60)), range(60)),  # a file in order of user
        ([n + 60 for n in _first_seen(_drawn(60))], range(60)),  # all are new, and numbered on
        ([f"u{n}" for n in _first_seen(_drawn(60))], ["u0"]),
        (_drawn(60), range(60)),
        ([n % 7 for n in range(400)], range(7)),
    ],
)
def test_numbers_that_stay_are_no_new_ones(ids: list[object], before: Sequence[object]) -> None:
    assert not _checks(ids, "item", before)


def test_a_number_that_stands_for_no_id_is_shown() -> None:
    """woocommerce 12673 and 22667: a product that was deleted is 0. dmi-tcat 109, StartupAPI 138: MySQL made 2147483647 of all larger."""
    products = [5000 + 13 * n for n in _drawn(60)]
    (check,) = _checks([*products, 0, 0], "item")
    assert (
        check.name == "rows whose item is 0"
        and check.observed == 2
        and "the least of the others is 50" in check.example
    )
    wide = [*(random.Random(n).getrandbits(63) for n in range(300)), 0]
    assert [check.name for check in _checks(wide, "user")] == ["rows whose user is 0"]
    (check,) = _checks([*(2_000_000_000 + 991 * n for n in _drawn(120)), 2147483647], "user")
    assert check.name == "rows whose user is the largest integer" and "'2147483647'" in check.example
    assert not _checks([0, *_drawn(60)], "item")
    assert not _checks([0, *_drawn(1_400_000)], "user")  # RetailRocket has a visitor 0
    assert not _checks([2147483647, *(random.Random(n).getrandbits(40) for n in range(300))], "user")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("978-0-306-{:05d}-7", "9780306{:05d}7"),  # openlibrary 53, bookbrainz-site 840
        ("+47 400 {:05d}", "+47400{:05d}"),
        ("AB_{:05d}.X", "AB{:05d}X"),
        ("(030){:05d}", "030{:05d}"),
    ],
)
def test_ids_that_differ_in_signs_inside_alone_are_shown(written: str, plain: str) -> None:
    ids = [(plain if n % 3 else written).format(n // 2) for n in range(300)]
    (check,) = _checks(ids, "item")
    assert check.name == "share of items that differ in blanks, hyphens and the like alone"
    assert repr(written.format(0)) not in check.example or repr(plain.format(0)) in check.example
    assert not _checks([written.format(n) for n in range(300)], "item")


@pytest.mark.parametrize(
    "ids",
    [
        [f"{n // 10}-{n % 10}" for n in range(400)],  # composed of two numbers
        [n / 4 if n % 4 else n // 4 for n in range(1, 400)],
        [*range(1, 200), *(f"{n}-{k}" for n in range(1, 50) for k in range(4))],  # products, and variants of products
        [f"-{n}" if n % 2 else n for n in range(1, 400)],
    ],
)
def test_signs_that_are_part_of_ids_are_meant_so(ids: list[object]) -> None:
    assert not _checks(ids, "item")


def _cut(lists: Sequence[str]) -> list[Check]:
    table = rows(len(lists)).drop(["category"]).append_column("category", pa.array(lists))
    lake = SmallLake(table)
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*cut_text_checks(lake, COLUMNS)]  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [255, 1024])
def test_lists_that_were_cut_off_are_shown(most: int) -> None:
    """worldcubeassociation.org 4120, sequelize 6098, molgenis 2645: GROUP_CONCAT keeps 1,024 characters."""
    whole = ["|".join(f"category-{(n * 7 + k) % 97}" for k in range(3 + n % 150)) for n in range(400)]
    (check,) = _cut([text[:most] for text in whole])
    assert check.name == f"values of category of {most:,} characters, the longest" and "cut texts off" in check.example
    assert not _cut(whole) and not _cut(["|".join(text.split("|")[:20]) for text in whole])


def test_a_night_shows_ids_that_were_numbered_anew() -> None:
    """Through validation as a whole, with what earlier nights knew."""
    ids = _first_seen(_drawn(60))
    table = changed(rows(), "user", dict(enumerate(map(str, ids))))
    reasons = look(table, nights=EarlierNights(vocabulary=_known("user", range(50))))[0].reasons
    assert any("users numbered without a gap" in reason and "LabelEncoder" in reason for reason in reasons)
