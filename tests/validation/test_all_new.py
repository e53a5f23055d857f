"""All new: a period nearly all of whose users or items were never seen, while those of the night before were, stops the night."""

from __future__ import annotations

from functools import reduce

import pytest

from nightloop.tasks.data.vocabulary import Vocabulary, empty_vocabulary, grow_vocabulary
from nightloop.tasks.validation.gx import EarlierNights
from tests.validation.test_gx import changed, history, look, plan, rows


def known(role: str, written: list[str]) -> Vocabulary:
    """A vocabulary that knows users u0 to u49 and items i0 to i39, those of one role in another writing."""
    table = rows(4000).append_column("period", [[0] * 4000])
    names = {f"{role[0]}{n}": text for n, text in enumerate(written)}
    at = table.schema.get_field_index(role)
    other = [[names.get(value, value) for value in table.column(role).to_pylist()]]
    return reduce(grow_vocabulary, [table.set_column(at, role, other)], empty_vocabulary(plan().columns))


@pytest.mark.parametrize(
    ("role", "written", "says"),
    [
        ("user", [f"U{n}" for n in range(50)], "is new; 'U"),
        ("item", [f"item-{n:04d}" for n in range(40)], "is new; 'item-00"),
        ("user", [chr(97 + n % 26) * (2 + n // 26) for n in range(50)], "is new; known are such as '"),
    ],
)  # fmt: skip
def test_ids_in_another_writing_stop_the_night_and_both_writings_are_shown(
    role: str, written: list[str], says: str
) -> None:
    before = tuple({**night, "new_user_rate": 0.02, "new_item_rate": 0.02} for night in history())
    seen, _ = look(rows(), nights=EarlierNights(before, known(role, written)))
    (reason,) = [reason for reason in seen.reasons if f"rows with a new {role}" in reason]
    assert seen.verdict == "blocked" and reason.startswith("stops the night: ") and says in reason, reason


def test_where_all_ids_are_new_every_night_or_in_the_first_nothing_is_wrong() -> None:
    strangers = known("user", [f"U{n}" for n in range(50)])
    always = tuple({**night, "new_user_rate": 0.97, "new_item_rate": 0.02} for night in history())
    for nights in (EarlierNights(always, strangers), EarlierNights((), strangers)):
        seen, _ = look(rows(), nights=nights)
        assert seen.verdict != "blocked", seen.reasons
    often = plan(all_new={"severity": "off"})
    before = tuple({**night, "new_user_rate": 0.02, "new_item_rate": 0.02} for night in history())
    assert look(rows(), often, EarlierNights(before, strangers))[0].verdict != "blocked"


def test_a_few_new_users_are_no_other_writing() -> None:
    before = tuple({**night, "new_user_rate": 0.02, "new_item_rate": 0.02} for night in history())
    newcomers = changed(rows(), "user", {n: f"n{n}" for n in range(200)})
    seen, _ = look(newcomers, nights=EarlierNights(before, known("user", [f"u{n}" for n in range(50)])))
    assert not any("rows with a new user" in reason for reason in seen.reasons)
