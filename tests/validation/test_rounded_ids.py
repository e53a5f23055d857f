"""Rounded ids: jsonlite 405, json2csv 149, fixjson 19: an id of 19 digits ends with 00 after a program of JavaScript had it."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np
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


@pytest.mark.parametrize("digits", [16, 17])
def test_ids_that_a_spreadsheet_rounded_are_shown(digits: int) -> None:
    """orangelight 2695, react-csv 126: a spreadsheet keeps 15 digits and writes zeros for the others."""
    exact = [76561197960265729 // 10 ** (17 - digits) + n * 1003 for n in range(30)]
    rounded = [id_ // 10 ** (digits - 15) * 10 ** (digits - 15) for id_ in exact]
    seen, _ = look(changed(rows(), "user", {n: str(id_) for n, id_ in enumerate(rounded)}))
    assert seen.verdict == "warned" and "share of users that look rounded is 1, allowed" in seen.reasons[0]
    even = [id_ * 2 % 10**digits for id_ in exact]  # a float of 64 bits holds these
    for ids in (exact, even, rounded[:19]):
        assert not look(changed(rows(), "user", {n: str(id_) for n, id_ in enumerate(ids)}))[0].reasons


def test_a_whole_number_with_an_exponent_among_ids_is_shown() -> None:
    """readr 671 and 845: R's readr writes 2000 as 2e3 beside 1999 and 2001. Among hexadecimal ids 2e3 is one of them."""
    numbers = {n: str(1990 + n % 40) for n in range(400)}
    seen, _ = look(changed(rows(), "item", {**numbers, 10: "2e3"}))
    assert (
        seen.verdict == "warned"
        and "rows whose item has an exponent is 1, allowed is at most 0: 2e3. The others" in seen.reasons[0]
    )
    assert not look(changed(rows(), "item", numbers))[0].reasons
    assert not look(changed(rows(), "item", {n: f"{n * 7919:x}" for n in range(400)} | {10: "2e3"}))[0].reasons


def test_clients_of_google_analytics_that_became_floats_are_shown() -> None:
    """chrome-extensions-samples 1606: pandas and Parquet keep 17 of their 20 digits, so that they are others than in a request."""
    random = np.random.default_rng(3)
    clients = [f"{random.integers(10**8, 2**31)}.{random.integers(17 * 10**8, 18 * 10**8)}" for _ in range(400)]
    for n in (400, 200):
        floats = {place: repr(float(id_)) if place < n else id_ for place, id_ in enumerate(clients)}
        (reason,) = look(changed(rows(), "user", floats))[0].reasons
        assert "users that look like floats is " in reason and "write ids as text" in reason
    messages = [f"{id_.partition('.')[2]}.{n % 200:06d}" for n, id_ in enumerate(clients)]  # of Slack: six digits
    versions = [f"{n}.{n % 7}" for n in range(400)]
    for others in (clients, messages, versions):
        assert not look(changed(rows(), "user", dict(enumerate(others))))[0].reasons


def test_many_long_items_hide_no_rounded_users() -> None:
    table = rows(11_000, item=[f"{10**18 + 7 * n}" for n in range(11_000)])
    (reason,) = look(changed(table, "user", {n: f"{(10**12 + n) * 10**6}" for n in range(400)}))[0].reasons
    assert "share of users that look rounded is 1" in reason
