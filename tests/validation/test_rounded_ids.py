"""Rounded ids: jsonlite 405, json2csv 149, fixjson 19: an id of 19 digits ends with 00 after a program of JavaScript had it."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from tests.validation.test_gx import changed, look, rows


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize("digits", [18, 19])
def test_ids_that_javascript_rounded_are_shown(role: str, digits: int) -> None:
    draw = random.Random(1)
    exact = [draw.randrange(10 ** (digits - 1), 10**digits if digits < 19 else 2**63) for _ in range(30)]
    rounded = [int(Decimal(repr(float(id_)))) for id_ in exact]
    assert rounded != exact
    seen, lake = look(changed(rows(), role, {n: str(id_) for n, id_ in enumerate(rounded)}))
    (reason,) = seen.reasons
    assert seen.verdict == "warned" and lake.reasons() == {}
    assert (
        f"share of {role}s that look rounded is 1, allowed is at most 0.8: {min(map(str, rounded))}. JavaScript"
        in reason
    )
    for ids in (exact, rounded[:19], [*rounded[:15], *exact[15:]], [-id_ for id_ in exact]):
        assert not look(changed(rows(), role, {n: str(id_) for n, id_ in enumerate(ids)}))[0].reasons
