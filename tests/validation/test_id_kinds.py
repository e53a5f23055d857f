"""Id kinds: a few ids unlike all others, ids of a kind that no night had, and kinds that a plan asks for."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

import pyarrow as pa
import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.expectations import ID_KINDS
from nightloop.tasks.validation.gx import EarlierNights
from nightloop.tasks.validation.id_kinds import define_id_kind
from tests.lake.small_lake import SmallLake
from tests.validation.test_gx import changed, look, plan, rows

HASHES = [hashlib.md5(str(n).encode()).hexdigest()[:16] for n in range(5000)]
TEXTS = {
    "whole_number": ["0", "007", "9" * 20], "negative_number": ["-1"], "decimal_number": ["1.5", "-0.25"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"], "hexadecimal": ["d41d8cd98f00b204"],
    "email": ["ann@shop.example"], "address": ["https://shop.example/a?b=1", "/story/1"], "prefix_and_number": ["u1", "SKU-0012", "é7"],
    "letters": ["Array", "Zoë", "東京"], "letters_and_digits": ["B000ABC1X", "7x"], "text": ["a b", "1,2", "a-b-1", ""],
}  # fmt: skip


def test_every_text_is_of_one_kind_in_the_database_as_in_python() -> None:
    lake = SmallLake(rows(1))
    define_id_kind(lake)  # type: ignore[arg-type]
    for kind, texts in TEXTS.items():
        for text in texts:
            first = next(name for name, pattern in ID_KINDS.items() if re.fullmatch(pattern, text))
            (found,) = lake.connection.execute("SELECT id_kind(?)", [text]).fetchone() or ()
            assert first == found == kind, text


ODD = [
    ([str(n) for n in range(1, 400)], "Array"),  # php 8: an array that was written as a text
    ([str(n) for n in range(1, 400)], "false"),
    ([str(n) for n in range(1, 400)], "-1"),
    ([str(n) for n in range(1, 400)], "12.5"),
    ([f"user-{n}" for n in range(1, 400)], "user-"),
    ([str(UUID(int=n)) for n in range(1, 400)], "0"),
    (HASHES[:399], "guest"),
    ([f"u{n}@shop.example" for n in range(399)], "support"),
    ([f"{10**9 + n}.{17 * 10**8 + n}" for n in range(399)], "(nicht festgelegt)"),  # clients of Google Analytics
]


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize(("ids", "odd"), ODD)
def test_a_few_ids_unlike_the_others_are_shown(role: str, ids: list[str], odd: str) -> None:
    (reason,) = look(changed(rows(), role, dict(enumerate([*ids, odd]))))[0].reasons
    assert f"warning: {role}s unlike the others is 1, allowed is at most 0: " in reason and repr(odd) in reason
    assert not look(changed(rows(), role, dict(enumerate([*ids, ids[0]]))))[0].reasons


@pytest.mark.parametrize(
    "ids",
    [
        [str(n) if n % 10 else f"{n}X" for n in range(400)],  # ISBN: a tenth ends in X
        ["".join("abcdefghijklmnopqrstuvwxyz0123456789"[n * k % 36] for k in (3, 5, 7, 11)) for n in range(400)],
        [str(int(hash_, 16) - 2**63) for hash_ in HASHES[:400]],  # signed integers of 64 bits
        [*HASHES[:398], "1234567890123456", "9876543210987654"],  # hexadecimal without a letter
        ["Array", *(str(n) for n in range(15))] * 25,  # too few ids
        [f"{n}.25" if n % 200 else str(n) for n in range(400)],  # a decimal number may be whole
    ],
)
def test_ids_of_two_kinds_on_purpose_are_not_told(ids: list[str]) -> None:
    assert not any(
        "unlike the others" in reason for reason in look(changed(rows(), "item", dict(enumerate(ids))))[0].reasons
    )


def test_what_another_check_tells_is_not_told_twice() -> None:
    ids = {n: "guest" if n % 3 == 0 else str(n) for n in range(400)}
    (reason,) = look(changed(rows(), "user", ids))[0].reasons
    assert "share of rows of one user" in reason


def test_ids_of_a_kind_that_no_night_had_are_shown() -> None:
    before = EarlierNights(tuple(look(rows(seed=seed))[0].statistics for seed in (1, 2)))
    assert before.history[0]["kind/user/prefix_and_number"] == 1.0
    some = changed(rows(), "user", {n: str(UUID(int=n)) for n in range(12)})
    reasons = look(some, nights=before)[0].reasons
    (reason,) = [text for text in reasons if "of a new kind" in text]
    assert (
        "warning: share of rows with users of a new kind is 0.02757, allowed is at most 0.01: UUIDs: 11 with 11 rows, such as "
        in reason
    )
    assert "Earlier nights had letters before a number. Is one user written in two ways?" in reason
    assert not any("new kind" in text for text in look(some)[0].reasons)
    after = EarlierNights((*before.history, look(some)[0].statistics))
    assert not any("new kind" in text for text in look(some, nights=after)[0].reasons)
    assert look(some, plan(new_kinds={"severity": "block", "most": 0.01}), before)[0].verdict == "blocked"


def test_rows_of_other_kinds_than_the_plan_names_are_put_aside() -> None:
    table = changed(rows(), "user", {0: "Array", 1: "false", 2: "17"})
    seen, lake = look(table, plan(rules={"user": {"kinds": ["prefix_and_number", "whole_number"]}}))
    assert lake.reasons() == {"user/kinds": 2} and seen.verdict == "passed"
    (reason,) = seen.reasons
    assert "prefix and number or whole number, as `kinds` of the plan's rule says" in reason and "Array" in reason
    assert look(table, plan(rules={"user": {"kinds": ["text"]}}))[0].reasons == ()
    hexadecimal = changed(rows(), "item", dict(enumerate([*HASHES[:398], "1" * 16, "2" * 16])))
    assert look(hexadecimal, plan(rules={"item": {"kinds": ["hexadecimal"]}}))[1].reasons() == {}


@pytest.mark.parametrize(
    ("name", "rule", "said"),
    [
        (
            "price",
            {"kinds": ["letters"]},
            "price has kinds, but the column holds numbers; for them there are least, most",
        ),
        ("label", {"longest": 3}, "label has longest, but the column holds numbers"),
        (
            "user",
            {"least": 0},
            "user has least, but the column holds texts; for them there are longest, forbidden, kinds",
        ),
    ],
)
def test_a_part_of_a_rule_that_would_be_ignored_is_refused(name: str, rule: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        look(rows(), plan(rules={name: rule}))
    assert pa.types.is_floating(rows().schema.field("price").type)


def test_a_check_of_which_a_plan_names_some_fields_keeps_its_own_defaults() -> None:
    defaults, named = (
        plan().expectations,
        plan(duplicates={"most": 0.2}, new_users={"width": 9.0}, psi={"nights": 2}).expectations,
    )
    assert (
        named.duplicates == defaults.duplicates.model_copy(update={"most": 0.2}) and named.duplicates.severity == "warn"
    )
    assert named.new_users == defaults.new_users.model_copy(update={"width": 9.0}) and named.new_users.sides == "above"
    assert named.psi == defaults.psi.model_copy(update={"nights": 2})
    assert plan(duplicates={"severity": "block"}).expectations.duplicates.most == defaults.duplicates.most
