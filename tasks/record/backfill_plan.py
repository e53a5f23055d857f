"""Backfill plan: the state of every period, and which nights a backfill would run; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import JsonValue

from nightloop.tasks.lake.periods import period
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.due import root_period
from nightloop.tasks.record.manifest import Manifest

What = Literal["missing", "failed", "stale", "all"]
MOST = 10_000  # nights that one backfill may run; more than a year of hourly periods
DECIDES = (
    "columns",
    "pretrain_periods",
    "model",
    "periods",
    "pretrain",
    "seed",
    "strategies",
)  # what checkpoints come from
UNRECORDED = "no night was recorded"


@dataclass(frozen=True)
class State:
    """One period's state, the reasons, and which fields of the plan changed since its night ran."""

    period: int
    state: Literal["missing", "complete", "blocked", "skipped", "stale"]
    reasons: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    newer: bool = False  # the lake holds newer logs than the night read


class Step(NamedTuple):
    """One line of a backfill's plan."""

    period: int
    action: Literal["run", "skip"]
    why: str


def night_states(
    chain: Mapping[int, Manifest],
    latest: Mapping[int, int],
    plan: Plan,
    last: int,
    damaged: Mapping[int, str] | None = None,
    altered: Mapping[tuple[int, int], str] | None = None,
) -> dict[int, State]:
    """The state of every period from the root to `last`.

    `chain`: current manifests; `latest`: newest version in the lake by period; `damaged`: why a manifest is not valid;
    `altered`: what is wrong with a (period, version) that a night read. A night is stale when it read an older version than
    the lake's newest or one that the lake no longer has, when its predecessor is not the current manifest of the period
    before, and when its predecessor is stale.
    """
    states: dict[int, State] = {}
    root = root_period(plan)
    for index in range(root, last + 1):
        manifest = chain.get(index)
        if manifest is None:
            damage = (damaged or {}).get(index, UNRECORDED)
            states[index] = State(index, "missing", (damage,), newer=index in latest)
            continue
        newer = _newer_logs(manifest, plan, latest)
        links = _broken_links(manifest, plan, chain.get(index - 1), states.get(index - 1))
        reasons = (*newer, *_altered_logs(manifest, plan, altered or {}), *links)
        changed = tuple(changed_fields(manifest.plan, plan))
        if manifest.outcome == "blocked":
            states[index] = State(index, "blocked", (manifest.reason, *reasons), changed, bool(newer))
        else:
            state = "stale" if reasons else manifest.outcome
            reason = (manifest.reason,) if manifest.reason else ()
            states[index] = State(index, state, reasons or reason, changed, bool(newer))
    return states


def _newer_logs(manifest: Manifest, plan: Plan, latest: Mapping[int, int]) -> tuple[str, ...]:
    late = [logs for logs in manifest.logs if latest.get(logs.period, logs.version) > logs.version]
    return tuple(
        f"{period(plan.periods, one.period).name} has version {latest[one.period]}, the night read {one.version}"
        for one in late
    )


def _altered_logs(manifest: Manifest, plan: Plan, altered: Mapping[tuple[int, int], str]) -> tuple[str, ...]:
    found = [logs for logs in manifest.logs if (logs.period, logs.version) in altered]
    return tuple(
        f"version {one.version} of {period(plan.periods, one.period).name} {altered[one.period, one.version]}"
        for one in found
    )


def _broken_links(manifest: Manifest, plan: Plan, before: Manifest | None, state: State | None) -> tuple[str, ...]:
    root = root_period(plan)
    if manifest.period == root:
        return () if manifest.previous is None else ("it is the root now, but was built on another night",)
    if manifest.previous is None:
        return (f"it was the root; the plan's root is {period(plan.periods, root).name} now",)
    if before is None or state is None:
        return (f"its predecessor, {period(plan.periods, manifest.period - 1).name}, is missing",)
    if before.hash != manifest.previous:
        return (f"its predecessor, {before.name}, was run again since",)
    return (f"its predecessor, {before.name}, is stale",) if state.state == "stale" or state.newer else ()


def changed_fields(before: Mapping[str, JsonValue], plan: Plan) -> list[str]:
    """Fields in which a plan kept in a manifest differs from this one: `gate.alpha`, `strategies.B (added)`."""
    with suppress(ValueError):  # a field that an older release did not have gets its default, which is how it behaved
        before = Plan.model_validate(before).model_dump(mode="json")
    return sorted(_differences("", before, plan.model_dump(mode="json")))


def invalidates_checkpoint(field: str) -> bool:
    """Whether a change of this field means that older checkpoints could not have come from the new plan.

    Fields for validation, scoring, the gate or the source may change, and a strategy may be removed; fields for training
    may not change.
    """
    return field != "periods.end" and field.split(".")[0].split(" ")[0] in DECIDES and not field.endswith("(removed)")


def _differences(path: str, before: JsonValue | Mapping[str, JsonValue], after: JsonValue) -> Iterator[str]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        if before != after:
            yield path
        return
    for name in {**before, **after}:
        full = f"{path}.{name}" if path else name
        if name not in after:
            yield f"{full} (removed)"
        elif name not in before:
            yield f"{full} (added)"
        else:
            yield from _differences(full, before[name], after[name])


def backfill_plan(
    states: Mapping[int, State], what: What, start: int, end: int, name_of: Callable[[int], str] = str, later: int = 0
) -> list[Step]:
    """What a backfill of `start` to `end` would do, and why; a pure function, shown before anything runs.

    `failed` means missing and blocked; `name_of` gives a period's name for people; `later` periods after those of `states`
    are missing. A night that runs makes every later one due, because each builds on the one before.
    Raises PlanError if the range is reversed or outside of the known periods, if it begins after a night that must run
    first, or if it would run more than `MOST` nights.
    """
    _refuse_range(states, start, end, name_of, later)
    due = {"missing": ("missing",), "failed": ("missing", "blocked"), "stale": ("stale",), "all": ()}[what]
    steps: list[Step] = []
    follows, gap, runs = -1, -1, 0
    for index in range(start, end + 1):
        state = _state(states, index)
        if gap >= 0 and index not in states:
            steps.append(Step(index, "skip", f"this night and the {end - index:,} after it are missing and not chosen"))
            break
        if gap >= 0:
            steps.append(Step(index, "skip", f"night {name_of(gap)} before it is {states[gap].state} and not chosen"))
        elif what == "all" or state.state in due or (what == "stale" and state.state == "blocked" and state.newer):
            steps.append(Step(index, "run", _state_in_words(state)))
            follows = index
        elif follows >= 0:
            steps.append(Step(index, "run", f"follows night {name_of(follows)}, which runs again"))
        else:
            steps.append(Step(index, "skip", _state_in_words(state)))
            gap = index if state.state in ("blocked", "missing") else -1
        runs += steps[-1].action == "run"
        if runs > MOST:
            raise PlanError(
                f"{name_of(start)} to {name_of(end)} are {end - start + 1:,} nights; one backfill runs at most {MOST:,}: let it end at "
                f"{name_of(index - 1)} or earlier, or let the plan's periods start later"
            )
    return steps


def _state(states: Mapping[int, State], index: int) -> State:
    return states.get(index) or State(index, "missing", (UNRECORDED,))


def _state_in_words(state: State) -> str:
    return f"{state.state}: {'; '.join(r for r in state.reasons if r)[:300]}" if any(state.reasons) else state.state


def _refuse_range(states: Mapping[int, State], start: int, end: int, name_of: Callable[[int], str], later: int) -> None:
    if not states:
        raise PlanError("there is no period to backfill yet: none is closed")
    root, last = min(states), max(states) + later
    if start > last:
        raise PlanError(f"{name_of(start)} is not closed yet: the newest closed period is {name_of(last)}")
    if start > end:
        raise PlanError(
            f"the range {name_of(start)} to {name_of(end)} is reversed; did you mean {name_of(end)} to {name_of(start)}?"
        )
    if start < root or end > last:
        raise PlanError(
            f"the range {name_of(start)} to {name_of(end)} is not within {name_of(root)} (the root) to {name_of(last)} "
            "(the newest closed period)"
        )
    before = _state(states, start - 1)
    if start > root and before.state in ("missing", "blocked"):
        raise PlanError(
            f"night {name_of(start - 1)} is {before.state}, and night {name_of(start)} builds on it; start there or earlier"
        )
