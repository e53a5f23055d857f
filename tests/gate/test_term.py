"""A term's evidence: what begins it anew, what it may spend, and what is carried over nights without scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightloop.tasks.gate.night_gain import NightGain
from nightloop.tasks.gate.sequential_test import YEAR, log_needed
from nightloop.tasks.gate.term import Conditions, add_gains, open_term, standing
from nightloop.tasks.record.manifest import TermEvidence

NOW = Conditions("old", "ndcg@20", 0.0)
ALPHA = 0.05


def gain(errors: float, overlap: float | None = 0.0) -> NightGain:
    return NightGain(errors, overlap)


def run(
    nights: int, errors: float = 1.0, term: TermEvidence | None = None, rivals: tuple[str, ...] = ("a", "b")
) -> TermEvidence:
    for period in range(nights):
        term = open_term(term, period, NOW, rivals)
        term = add_gains(term, {name: gain(errors + (-1) ** period) for name in rivals})
    assert term is not None
    return term


@given(
    changes=st.lists(st.integers(1, 200), min_size=1, max_size=30),
    joins=st.lists(st.integers(0, 3), min_size=30, max_size=30),
)
def test_any_window_of_a_year_spends_at_most_alpha(changes: list[int], joins: list[int]) -> None:
    """Whenever the champion changes and rivals join: the probabilities of all terms that touch a year sum to alpha at most."""
    period, term, spent = 0, None, []
    for number, length in enumerate(changes):
        champion = Conditions(f"champion {number % 2}", "ndcg@20", 0.0)
        names = ["a", "b"]
        term = open_term(term, period, champion, names)
        for extra in range(joins[number]):
            names = [*names, f"late {extra}"]
            term = open_term(term, period + extra, champion, names)
        part = sum(np.exp(-log_needed(ALPHA, 1 + len(term.ended), rival.share)) for rival in term.rivals.values())
        spent.append((period, period + length, float(part)))
        period += length
    for first, _, _ in spent:
        touching = [part for begin, end, part in spent if end > first and begin < first + YEAR]
        assert sum(touching) <= ALPHA * (1 + 1e-9)


def test_a_night_without_a_gain_keeps_what_there_is() -> None:
    term = run(4)
    again = add_gains(open_term(term, 4, NOW, ["a", "b"]), {"a": None})
    assert again.rivals == term.rivals


def test_a_rival_that_leaves_and_comes_back_goes_on_and_gets_no_new_share() -> None:
    term = run(4)
    without = open_term(term, 4, NOW, ["a"])
    back = open_term(without, 5, NOW, ["a", "b"])
    assert back.rivals["b"] == term.rivals["b"]


def test_the_first_champion_ends_no_term() -> None:
    nobody = open_term(None, 0, Conditions(None, "ndcg@20", 0.0), ["a", "b"])
    first = open_term(add_gains(nobody, {"a": gain(2.0)}), 1, Conditions("a", "ndcg@20", 0.0), ["b"])
    assert (first.ended, first.rivals["b"].nights) == ((), 0)
    second = open_term(first, 2, Conditions("b", "ndcg@20", 0.0), ["a"])
    assert second.ended == (2,)


def test_what_ended_more_than_a_year_ago_is_forgotten() -> None:
    term = open_term(open_term(run(3), 3, Conditions("a", "ndcg@20", 0.0), ["b"]), 4, NOW, ["b"])
    assert len(term.ended) == 2
    assert len(open_term(term, 3 + YEAR, NOW, ["b"]).ended) == 1
    assert open_term(term, 4 + YEAR, NOW, ["b"]).ended == ()


def test_a_wild_variance_of_earlier_nights_slows_a_new_rival() -> None:
    calm, rough = run(30, errors=0.0), run(30, errors=0.0)
    rough = rough.model_copy(
        update={"rivals": {n: r.model_copy(update={"squares": 30 * r.squares}) for n, r in rough.rivals.items()}}
    )
    found = {}
    for name, before in (("calm", calm), ("rough", rough)):
        term = before
        for period in range(30, 34):
            term = open_term(term, period, NOW, ["a", "b", "c"])
            term = add_gains(term, {"c": gain(3.0)})
        found[name] = standing(term, "c", ALPHA).evidence
    assert found["calm"] > 10 * found["rough"]


def test_the_forecast_says_how_many_more_such_nights() -> None:
    term = run(6, errors=1.0, rivals=("a",))
    now = standing(term, "a", ALPHA)
    assert now.evidence < now.needed and now.nights_to_go is not None
    for period in range(6, 6 + now.nights_to_go):
        term = add_gains(open_term(term, period, NOW, ["a"]), {"a": gain(1.0 + (-1) ** period)})
    assert standing(term, "a", ALPHA).evidence == pytest.approx(now.needed, rel=1.0)
    assert standing(run(6, errors=-1.0), "a", ALPHA).nights_to_go is None


def test_a_night_of_many_errors_is_no_infinite_evidence() -> None:
    now = standing(run(9, errors=1e6, rivals=("a",)), "a", ALPHA)
    assert np.isfinite(now.evidence) and now.evidence > now.needed
