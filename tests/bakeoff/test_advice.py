"""What a bake-off says of itself: who leads, whether that is sure, what is cheap, and whether anybody beats popularity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nightloop.tasks.bakeoff.advice import advice
from nightloop.tasks.bakeoff.entrants import Entrant
from nightloop.tasks.bakeoff.results import FinishedRun, Results, read_finished_run
from nightloop.tasks.bakeoff.run_result import RunResult
from nightloop.tasks.modules.checkpoint import Weights, pack
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.plugins.options import with_options
from tests.flows.tiny_pipeline import raw_plan

PLAN = Plan.model_validate(raw_plan(Path("nowhere")))
USERS, ROWS = 60, 600


def rows(above: float, personal: bool, seed: int) -> Weights:
    """One scored period: every row's item stands below about `above` candidates."""
    g = torch.Generator().manual_seed(seed)
    found = (torch.rand(ROWS, generator=g) * 2 * above).int()
    nothing = torch.zeros(ROWS, dtype=torch.int32)
    old = torch.zeros(ROWS, dtype=torch.bool)
    return pack("uniform/000002", {
        "user": torch.arange(ROWS) % USERS, "item": torch.arange(ROWS) % 7, "new_user": old, "new_item": old,
        "pool": nothing, "above": found, "equal": nothing,
        "mean_above": found + 15 if personal else found, "mean_equal": nothing,
    })  # fmt: skip


def ran(above: float, seconds: float, personal: bool = True, seed: int = 0, luck: int = 0) -> FinishedRun:
    outcome = RunResult(seconds={2: seconds}, weights_bytes=1000, peak=50_000_000, idle=10_000_000)
    return read_finished_run(PLAN, seed, outcome, rows(above, personal, 100 * seed + luck), ["uniform"])


def board(**entrants: Any) -> Results:
    """A board of (plug-in, its cells)."""
    parts = {name: Entrant(name, "MF", Part(use=use), PLAN.model) for name, (use, *_) in entrants.items()}
    return Results(PLAN, "ndcg@20", (2,), parts, {name: cells for name, (_, *cells) in entrants.items()})


def test_a_clear_leader_is_sure_and_its_price_is_named() -> None:
    said = advice(board(tuned=("FineTune", ran(8, 0.2)), full=("FullRetrain", ran(4, 3.0))), ["uniform"])
    assert said[0].startswith("full leads with ndcg@20 0.") and "surely ahead of tuned" in said[0]
    assert "not surely" not in said[0]
    assert any(
        "full takes 3 s to learn a period and 40 MB of memory, and keeps 1.0 kB; tuned takes 0.2 s" in s for s in said
    )
    assert any(s.startswith("No entrant matches full") for s in said)
    assert any("% of full's ndcg@20 is personal" in s for s in said)


def test_what_is_level_and_cheap_is_the_cheap_choice() -> None:
    said = advice(board(a=("FineTune", ran(6.02, 0.1, luck=1)), b=("FullRetrain", ran(6.0, 3.0))), ["uniform"])
    assert "not surely ahead" in said[0] and any("is not surely behind" in s for s in said)
    said = advice(board(a=("FineTune", ran(6.15, 0.1)), b=("FullRetrain", ran(6.0, 3.0))), ["uniform"])
    assert any(s.startswith("The cheap choice is a: it") and "at 1/30 of the time" in s for s in said)


def test_when_nobody_beats_popularity_it_is_said() -> None:
    said = advice(board(list=("Popularity", ran(5, 0.01, False)), tuned=("FineTune", ran(8, 1.0))), ["uniform"])
    assert any(s.startswith("No entrant surely beats list") for s in said)
    said = advice(board(list=("Popularity", ran(9, 0.01, False)), tuned=("FineTune", ran(5, 1.0))), ["uniform"])
    assert any(s.startswith("tuned surely beats list") for s in said)


def test_learners_that_do_not_beat_the_one_that_never_learns_are_named() -> None:
    said = advice(board(still=("NoUpdate", ran(5, 0.0)), tuned=("FineTune", ran(8, 1.0))), ["uniform"])
    assert any(s.startswith("No learner surely beats still") for s in said)


def test_seeds_that_disagree_are_not_sure() -> None:
    mixed = board(
        a=("FineTune", ran(3, 1.0, seed=0), ran(9, 1.0, seed=1)), b=("FullRetrain", ran(6, 1.0, seed=0), ran(8.5, 1.0, seed=1))
    )  # fmt: skip
    assert not mixed.agree("a", "b", "uniform")
    said = advice(mixed, ["uniform"])
    assert "not surely ahead" in said[0] and "± " in said[0]


def test_one_alone_nobody_and_one_that_failed() -> None:
    assert advice(board(a=("FineTune", ran(3, 1.0))), ["uniform"])[0].startswith("a is alone")
    said = advice(board(), ["uniform"])
    assert said == ["All runs failed, for the reasons below."]


def test_options_are_put_in_by_dotted_names_and_nothing_is_changed() -> None:
    part = Part(use="FineTune", options={"training": {"epochs": 1}})
    changed = with_options(
        "strategy", part, {"training.lr": 0.1, "optimizer": "reset", "learner.options.training.lr": 1}
    )
    assert changed.options == {
        "training": {"epochs": 1, "lr": 0.1}, "optimizer": "reset", "learner": {"options": {"training": {"lr": 1}}},
    }  # fmt: skip
    assert part.options == {"training": {"epochs": 1}}


@pytest.mark.parametrize("kind", ["uniform"])
def test_a_difference_is_measured_once(kind: str) -> None:
    two = board(a=("FineTune", ran(6, 1.0)), b=("FullRetrain", ran(7, 1.0)))
    first = two.versus("a", "b", kind, "ndcg@20")
    assert (
        first is not None
        and two.versus("a", "b", kind, "ndcg@20") is first
        and two.versus("a", "a", kind, "ndcg@20") is None
    )
    other = two.versus("b", "a", kind, "ndcg@20")
    assert other is not None and other.mean == pytest.approx(-first.mean)
