"""States and the plan of a backfill: pure functions of the chain."""

from __future__ import annotations

import pytest

from nightloop.tasks.plan.plan import Columns, Counts, Part, Plan
from nightloop.tasks.record.backfill_plan import (
    State,
    backfill_plan,
    changed_fields,
    invalidates_checkpoint,
    night_states,
)
from nightloop.tasks.record.manifest import Manifest
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, published


def plan(**more: object) -> Plan:
    values: dict[str, object] = {
        "pipeline": PIPELINE,
        "source": Part(use="simulated"),
        "columns": Columns(user="u", item="i", time="t"),
        "periods": Counts(rows=10),
        "pretrain": Part(use="FullRetrain"),
        "model": Part(use="MF", options={"width": 8}),
        "strategies": {"A": Part(use="NoUpdate"), "B": Part(use="FineTune", options={"lr": 0.1})},
    }
    return Plan.model_validate({**values, **more})


def chain_of(length: int) -> tuple[Memory, dict[int, Manifest]]:
    store, found, last = Memory(), {}, None
    for period in range(length):
        found[period] = last = published(store, period, last)
    return store, found


def kinds(found: dict[int, State]) -> str:
    return "".join(state.state[1] for state in found.values())  # c-o-mplete, m-i-ssing, b-l-ocked, s-k-ipped, s-t-ale


def test_complete_and_missing() -> None:
    _, chain = chain_of(3)
    found = night_states(chain, {}, plan(), 4)
    assert kinds(found) == "oooii" and found[3].reasons == ("no night was recorded",)
    assert night_states(chain, {}, plan(), 4, {3: "cut off"})[3].reasons == ("cut off",)


def test_late_data_makes_its_night_and_all_later_ones_stale() -> None:
    _, chain = chain_of(4)
    found = night_states(chain, {0: 1, 1: 2, 2: 1}, plan(), 3)
    assert kinds(found) == "ottt"
    assert found[1].reasons == ("000001 has version 2, the night read 1",) and found[1].newer
    assert "2026-01-02, is stale" in found[2].reasons[0] and not found[2].newer


def test_a_version_that_the_lake_no_longer_has_makes_its_night_and_all_later_ones_stale() -> None:
    _, chain = chain_of(4)
    found = night_states(chain, {}, plan(), 3, altered={(2, 1): "is not in the lake"})
    assert kinds(found) == "oott" and found[2].reasons == ("version 1 of 000002 is not in the lake",)


def test_a_mended_night_makes_its_successor_stale() -> None:
    store, chain = chain_of(4)
    chain[1] = published(store, 1, chain[0], salt="late")
    found = night_states(chain, {}, plan(), 3)
    assert kinds(found) == "oott" and "was run again since" in found[2].reasons[0]


def test_a_hole_or_another_root_makes_stale() -> None:
    _, chain = chain_of(4)
    del chain[1]
    assert kinds(night_states(chain, {}, plan(), 3)) == "oitt"
    assert "the plan's root" not in str(night_states(chain, {}, plan(), 3))
    found = night_states(chain, {}, plan(pretrain_periods=3), 3)
    assert "it is the root now" in found[2].reasons[0]


def test_blocked_and_skipped() -> None:
    store, chain = chain_of(2)
    chain[2] = published(store, 2, chain[1], outcome="blocked")
    found = night_states(chain, {2: 1}, plan(), 3)
    assert kinds(found) == "ooli" and found[2].reasons[0] == "too few rows" and not found[2].newer
    assert night_states(chain, {2: 2}, plan(), 3)[2].newer
    chain[2] = published(store, 2, chain[1], outcome="skipped")
    assert kinds(night_states(chain, {}, plan(), 2)) == "ook"


def test_a_changed_plan_is_named() -> None:
    before = plan().model_dump(mode="json")
    assert changed_fields(before, plan()) == []
    after = plan(
        strategies={"B": Part(use="FineTune", options={"lr": 0.2}), "C": Part(use="NoUpdate")},
        gate={"alpha": 0.01},
        model=Part(use="MF", options={"width": 16}),
    )
    found = changed_fields(before, after)
    assert found == [
        "gate.alpha", "model.options.width", "strategies.A (removed)", "strategies.B.options.lr",
        "strategies.C (added)",
    ]  # fmt: skip
    assert [invalidates_checkpoint(field) for field in found] == [False, True, False, True, True]
    _store, chain = chain_of(1)
    kept = chain[0].model_copy(update={"plan": before})
    assert night_states({0: kept}, {}, after, 0)[0].changed == tuple(found)


def actions(steps: list) -> str:  # type: ignore[type-arg]
    return "".join("R" if step.action == "run" else "." for step in steps)


def test_a_field_that_an_older_release_did_not_have_is_no_change() -> None:
    before = plan().model_dump(mode="json")
    del before["columns"]["time_format"], before["expectations"]["all_new"]
    assert changed_fields(before, plan()) == []
    before["seed"] = 7
    assert changed_fields(before, plan()) == ["seed"]


def test_what_a_backfill_runs() -> None:
    chain = ["complete", "stale", "complete", "missing", "missing"]
    found = {n: State(n, kind) for n, kind in enumerate(chain)}  # type: ignore[arg-type]
    assert actions(backfill_plan(found, "missing", 0, 4)) == "...RR"
    assert actions(backfill_plan(found, "failed", 0, 4)) == "...RR"
    assert actions(backfill_plan(found, "stale", 0, 4)) == ".RRRR"
    assert actions(backfill_plan(found, "all", 0, 4)) == "RRRRR"
    assert backfill_plan(found, "stale", 0, 2)[2] == (2, "run", "follows night 1, which runs again")
    assert [tuple(s) for s in backfill_plan(found, "stale", 0, 0)] == [(0, "skip", "complete")]


def test_a_blocked_night_stops_what_follows_unless_chosen() -> None:
    found = {n: State(n, kind) for n, kind in enumerate(["complete", "blocked", "missing"])}  # type: ignore[arg-type]
    steps = backfill_plan(found, "missing", 0, 2)
    assert actions(steps) == "..." and steps[2].why == "night 1 before it is blocked and not chosen"
    assert actions(backfill_plan(found, "failed", 0, 2)) == ".RR"
    newer = {**found, 1: State(1, "blocked", newer=True)}
    assert actions(backfill_plan(newer, "stale", 0, 2)) == ".RR"


def test_ranges_that_are_refused() -> None:
    found = {n: State(n, kind) for n, kind in enumerate(["complete", "missing", "complete"], start=5)}  # type: ignore[arg-type]
    for start, end, said in (
        (7, 5, "is reversed; did you mean 5 to 7"),
        (4, 6, r"is not within 5 \(the root\) to 7"),
        (5, 8, "is not within"),
        (7, 7, "night 6 is missing, and night 7 builds on it"),
    ):
        with pytest.raises(ValueError, match=said):
            backfill_plan(found, "all", start, end)
    with pytest.raises(ValueError, match="no period to backfill yet"):
        backfill_plan({}, "all", 0, 0)
