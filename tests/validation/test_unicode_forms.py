"""Unicode forms: one id in two forms is two ids, and validation shows both; ids in one form are left alone."""

from __future__ import annotations

import unicodedata

import pytest

from nightloop.tasks.validation.gx import EarlierNights
from tests.validation.test_all_new import known
from tests.validation.test_gx import changed, look, rows, told

JOSE, ANN = "Jos\u00e9", "\u212bnn"  # the second begins with the sign for \u00e5ngstr\u00f6m, which no form keeps
NFD = unicodedata.normalize("NFD", JOSE)


@pytest.mark.parametrize("role", ["user", "item"])
def test_an_id_in_two_forms_is_shown_and_stays_two_ids(role: str) -> None:
    seen, lake = look(changed(rows(), role, {0: JOSE, 1: NFD, 2: JOSE, 3: "Zo\u00eb", 4: ANN, 5: "\u00c5nn"}))
    assert seen.verdict == "warned" and lake.reasons() == {}
    (reason,) = seen.reasons
    assert reason == (
        f"warning: {role}s in two Unicode forms is 2, allowed is at most 0: 'Jose\\u0301' and 'Jos\\xe9' look alike and are two "
        f"{role}s. Write each id in one Unicode form at the source, such as NFKC, without characters that cannot be seen and "
        "without codes such as %20 and &amp;"
    )


def test_an_id_in_another_form_than_earlier_nights_is_shown() -> None:
    """Ids that came in two forms before are told only in periods that have one of them."""
    nights = EarlierNights((), known("user", [JOSE, "Zo\u00eb", "Zoe\u0308", *(f"u{n}" for n in range(3, 50))]))
    (reason,) = [text for text in told(changed(rows(), "user", {0: NFD}), nights=nights) if "Unicode" in text]
    assert "users in two Unicode forms is 1" in reason and "'Jose\\u0301' and 'Jos\\xe9'" in reason
    for table in (rows(), changed(rows(), "user", {0: JOSE, 1: "Zo\u00e9"})):
        assert not any("Unicode" in text for text in told(table, nights=nights))


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize("other", ["an\u00adn", "a\u200bnn", "ann\u200d", "\u061cann", "\uff41nn", "ann\ufe0f"])
def test_an_id_with_what_cannot_be_seen_is_shown(role: str, other: str) -> None:
    """CultureMech 406, MicrobeTrace 190: a soft hyphen, a joiner or a wide letter makes another id of one that is plain."""
    (reason,) = told(changed(rows(), role, {0: other, 1: "ann", 2: "Zo\u00eb"}))
    assert f"{role}s in two Unicode forms is 1" in reason and "'ann' and " in reason and ascii(other) in reason
    assert not told(changed(rows(), role, {0: other, 2: "Zo\u00eb"}))
    nights = EarlierNights((), known(role, ["ann", *(f"{role[0]}{n}" for n in range(3, 50))]))
    (reason,) = [text for text in told(changed(rows(), role, {0: other}), nights=nights) if "Unicode" in text]
    assert f"{role}s in two Unicode forms is 1" in reason and ascii(other) in reason


def test_wide_digits_are_shown_beside_usual_ones() -> None:
    (reason,) = told(changed(rows(), "user", {0: "\uff11\uff12", 1: "12"}))
    assert "'12' and '\\uff11\\uff12' look alike and are two users" in reason


@pytest.mark.parametrize(
    ("other", "plain"),
    [
        ("\u0661\u0662", "12"),  # logback-android 87, okhttp 2522: Java's %d in Arabic
        ("\u0967\u0968-\u0663", "12-3"),
        ("\u221212", "-12"),  # actual 6206, openui5 2512: the minus of Norwegian and Swedish
        ("last%5fversion", "last_version"),  # matomo 20814: addresses
        ("caf%C3%A9", "caf\xe9"),
        ("Mc&#039;Name", "Mc'Name"),  # snipe-it 4568: HTML
        ("a&amp;b", "a&b"),
    ],
)
def test_an_id_in_other_digits_or_coded_is_shown(other: str, plain: str) -> None:
    (reason,) = told(changed(rows(), "user", {0: other, 1: plain}))
    assert f"users in two Unicode forms is 1, allowed is at most 0: {min(other, plain)!a} and " in reason
    nights = EarlierNights((), known("user", [plain, *(f"u{n}" for n in range(3, 50))]))
    assert any("two Unicode forms is 1" in r for r in told(changed(rows(), "user", {0: other}), nights=nights))


@pytest.mark.parametrize("alone", ["100%", "a%zz", "a%20b", "R&B", "AT&T; x", "&;", "\u0661\u0662", "%E9", "%00"])
def test_an_id_that_only_looks_coded_is_left_alone(alone: str) -> None:
    others = {0: alone, 1: "12x", 2: "%E8", 3: "&#xd800;"}
    assert not [r for r in told(changed(rows(), "user", others)) if "Unicode" in r]
