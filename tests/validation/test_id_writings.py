"""Id writings: one id in two writings is two ids, and validation shows both. So it does with ids that were cut off or have signs."""

from __future__ import annotations

import hashlib
import random
from base64 import b64encode
from collections.abc import Callable
from uuid import UUID

import pytest

from nightloop.tasks.validation.clean_copy import clean_rows
from nightloop.tasks.validation.id_shapes import id_shape_checks
from nightloop.tasks.validation.id_writings import id_writing_checks
from nightloop.tasks.validation.period_checks import Check
from tests.lake.small_lake import SmallLake
from tests.validation.test_all_new import known
from tests.validation.test_gx import changed, rows


def _checks(ids: list[str], role: str, before: list[str] | None = None) -> list[Check]:
    table = changed(rows(len(ids)), role, dict(enumerate(ids)))
    lake = SmallLake(table)
    vocabulary = None if before is None else known(role, before)
    with clean_rows(lake, 0, 1, 1):  # type: ignore[arg-type]
        return [*id_writing_checks(lake, vocabulary), *id_shape_checks(lake)]  # type: ignore[arg-type]


def _uuid(n: int) -> str:
    return str(UUID(int=random.Random(n).getrandbits(128)))


def _salesforce(n: int) -> str:
    return "0015g0000" + "".join(random.Random(n).choices("ABcdEF0123", k=6))


def _last(id_: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    return "".join(letters[sum(2**k for k in range(5) if id_[n + k].isupper())] for n in (0, 5, 10))


def _hash(n: int) -> int:
    return int(hashlib.md5(str(n).encode()).hexdigest()[:16], 16) | 2**63


def _base64(n: int) -> str:
    return b64encode(hashlib.md5(str(n).encode()).digest()).decode()


PAGE = "https://shop.example/story/"
WRITINGS: list[tuple[str, Callable[[int], str], Callable[[int], str]]] = [
    ("user", _uuid, lambda n: _uuid(n).replace("-", "")),  # dart-uuid 105, django-uuidfield 27
    ("user", _uuid, lambda n: f"{{{_uuid(n).upper()}}}"),
    ("item", lambda n: f"gid://shopify/Product/{65865110600 + n}", lambda n: str(65865110600 + n)),  # js-buy-sdk 398, contentful/apps 1206
    ("item", lambda n: b64encode(f"gid://shopify/Product/{n}".encode()).decode(), lambda n: f"gid://shopify/Product/{n}"),
    ("user", lambda n: f"ObjectId({_uuid(n)[:8]}{n:016x})", lambda n: f"{_uuid(n)[:8]}{n:016x}"),  # mongo-express 761
    ("user", lambda n: _salesforce(n) + _last(_salesforce(n)), _salesforce),  # SalesforceMobileSDK-Android 1418, salesforcedx-vscode 483
    ("user", lambda n: str(_hash(n) - 2**64), lambda n: str(_hash(n))),  # tidb 70359: UINT_32 and UINT_64 of Parquet became negative
    ("item", lambda n: str(2**31 + n * 7 - 2**32), lambda n: str(2**31 + n * 7)),
    ("user", _base64, lambda n: _base64(n).replace("+", "-").replace("/", "_").rstrip("=")),  # two alphabets of RFC 4648
    ("item", lambda n: f"caf\\u00e9-{n}", lambda n: f"caf\u00e9-{n}"),
    ("item", lambda n: f"{PAGE}{n}?utm_source=news&utm_medium=email", lambda n: f"{PAGE}{n}"),  # umami 1730, wp-slimstat 276
    ("item", lambda n: f"{PAGE}{n}?page=2&fbclid=IwAR{n}", lambda n: f"{PAGE}{n}?page=2"),  # goatcounter 170
    ("item", lambda n: f"/story/{n}/", lambda n: f"/story/{n}"),  # plausible 336
    ("item", lambda n: f"http://www.shop.example/story/{n}#comments", lambda n: f"{PAGE}{n}"),
    ("user", lambda n: f"::ffff:203.0.113.{n}", lambda n: f"203.0.113.{n}"),  # node 9251, darkhttpd 73, lavinmq 2122
    ("user", lambda n: f"203.0.113.{n}:{40000 + n * 7}", lambda n: f"203.0.113.{n}"),  # rack 1227, authentik 25679
    ("user", lambda n: f"[2001:db8::{n:x}]:443", lambda n: f"2001:db8::{n:x}"),
    ("item", lambda n: f"/p/{n};jsessionid={_uuid(n)[:8]}", lambda n: f"/p/{n}"),  # meeds 2084, dataverse 3254
    ("item", lambda n: f"{PAGE}{n}?PHPSESSID={_uuid(n)[:8]}", lambda n: f"{PAGE}{n}?PHPSESSID={_uuid(n + 7)[:8]}"),
    ("item", lambda n: f"{PAGE}{n % 100}?fbclid=IwAR{n}", lambda n: f"{PAGE}{n % 100}?fbclid=IwAR{n + 7}"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "one", "other"), WRITINGS)
def test_an_id_in_two_writings_is_shown(role: str, one: Callable[[int], str], other: Callable[[int], str]) -> None:
    (check,) = _checks([(one if n % 2 else other)(n % 40) for n in range(400)] + [one(n) for n in range(40)], role)
    assert check.name == f"{role}s in two writings" and check.observed >= 20 and "Are they one" in check.words
    (check,) = _checks(
        [one(n % 40) for n in range(400)], role, [other(n) for n in range(40)]
    )  # those of earlier nights
    assert check.observed == 40


@pytest.mark.parametrize(("role", "one", "other"), WRITINGS[:-1])
def test_ids_in_one_writing_are_left_alone(role: str, one: Callable[[int], str], other: Callable[[int], str]) -> None:
    for writing in (one, other):
        ids = [writing(n % 100) for n in range(400)]
        assert not _checks(ids, role) and not _checks(ids, role, ids)


@pytest.mark.parametrize(
    "id_", ["/#/story/1", "/#!/1", "-", "-0", "http://[", "gid://", "ObjectId()", "/", "#", "Z2lkOi8v=", "\\ud800"]
)
def test_ids_that_only_look_like_another_writing(id_: str) -> None:
    assert not _checks([id_, *(f"u{n}" for n in range(99))], "item")


def test_ids_that_were_cut_off_are_shown() -> None:
    """backstage 22522, dpla-frontend 1586: Google Analytics 4 keeps 100 characters."""
    words = [
        " ".join(random.Random(n).choices(("story", "of", "a", "long", "title"), k=5 + n % 25)) for n in range(400)
    ]
    (check,) = _checks([word[:100] for word in words], "item")
    assert check.name == "items of 100 characters, the longest" and check.observed > 20
    assert not _checks([word[:101] for word in words], "item") and not _checks(words, "item")
    assert not _checks([f"{n:0100d}" for n in range(400)], "item")  # all are so long


@pytest.mark.parametrize("sign", [".", "'", "\u2019"])
def test_numbers_with_a_sign_between_thousands_are_shown(sign: str) -> None:
    """OpenSpeedMonitor 23, jverein 53, text2tab 12: 1234 as it is shown in Germany and Switzerland."""
    ids = [f"{n * 137:,}".replace(",", sign) for n in range(400)]
    (check,) = _checks(ids, "item")
    assert check.name == "items with a sign between thousands" and check.observed > 300
    assert not _checks([*ids[:-1], "1234"], "item")  # they are written so elsewhere
    assert not _checks([f"{100 + n % 900}.{n:03d}" for n in range(400)], "item")  # all have one form


def test_a_lake_without_rows_has_no_such_ids() -> None:
    assert not _checks([], "user")
