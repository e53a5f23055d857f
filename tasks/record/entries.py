"""Entries: the lines of the promotion log, and what they imply: which checkpoint served when, and rollback targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Literal

from pydantic import Field, JsonValue

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.record.manifest import CheckpointRef, Manifest

GATE = "gate"  # the actor of entries that no person made


class Entry(Frozen):
    """One act on the champion: by whom, when, why, from which manifest to which, and the evidence."""

    format: Literal[1] = 1
    number: int = Field(ge=0)  # 1, 2, ... in the log; 0: a draft
    pipeline: str
    action: Literal["promote", "rollback", "pin", "unpin"]
    forced: bool
    by: str  # "gate", or a person
    when: str  # ISO 8601, as passed in
    reason: str
    manifest: str  # hash
    period: int  # of the manifest
    name: str  # of that period
    strategy: str
    checkpoint: CheckpointRef
    vocabulary: str  # blob
    previous: str | None  # hash of the manifest that served before
    at_period: int  # newest period at that time that was not blocked
    evidence: dict[str, JsonValue]
    pinned: bool | None = (
        None  # whether the gate may not move it; None: from an older release, in which a rollback pins
    )


@dataclass(frozen=True)
class Act:
    """Who acts on the champion, when (ISO 8601 text), why, and the newest period at that time that was not blocked.

    `when` is the time of the request: a run of Prefect's may wait for a worker, or resume. `now` is the time of the store;
    None: the time of the request.
    """

    by: str
    when: str
    reason: str
    at_period: int
    now: float | None = None  # seconds since 1970


def refuse_without_reason(act: str, reason: str) -> None:
    """Raise PlanError if an act by hand gives no reason."""
    if not reason.strip():
        raise PlanError(
            f"{act} needs a reason, which is kept in the promotion log: give --reason. In Prefect: Custom run, field "
            "`reason`. Nothing was changed"
        )


def draft_entry(manifest: Manifest, strategy: str, act: Act, forced: bool = False) -> Entry:
    """The entry that would make this night's checkpoint of `strategy` the champion, with the gate's verdict on it.

    Raises PlanError if there is no such checkpoint.
    """
    if strategy not in manifest.checkpoints or manifest.vocabulary is None:
        has = ", ".join(sorted(manifest.checkpoints)) or f"nothing (it is {manifest.outcome})"
        raise PlanError(f"{manifest.name} has no checkpoint of {strategy[:80]!r} to promote; it has {has}")
    judged = manifest.judged.get(strategy)
    parse_instant(act.when)
    return Entry(
        number=0,
        pipeline=manifest.pipeline,
        action="promote",
        forced=forced,
        by=act.by,
        when=act.when,
        reason=act.reason,
        manifest=manifest.hash,
        period=manifest.period,
        name=manifest.name,
        strategy=strategy,
        checkpoint=manifest.checkpoints[strategy],
        vocabulary=manifest.vocabulary,
        previous=None,
        at_period=act.at_period,
        evidence=judged.model_dump(mode="json") if judged else {},
    )


def entries_by_hand(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that people made."""
    return [entry for entry in entries if entry.by != GATE]


def pins_champion(entry: Entry) -> bool:
    """Whether the gate may not move the champion after this act by hand."""
    return entry.action == "rollback" if entry.pinned is None else entry.pinned


def current_pin(entries: Sequence[Entry]) -> Entry | None:
    """The newest act by hand, if it pins the champion; else None."""
    acts = entries_by_hand(entries)
    return acts[-1] if acts and pins_champion(acts[-1]) else None


def summary(entry: Entry) -> str:
    """The entry in a few words, for a message: entry 7, rollback by ann: the reason."""
    return f"entry {entry.number} of the promotion log, {entry.action} by {entry.by}: {entry.reason[:300]}"


def rollback_target(entries: Sequence[Entry], to: str | None = None) -> Entry:
    """The earlier entry that a rollback goes back to: the champion before this one, or the one of manifest `to`.

    A promotion pushes a champion on a stack. A rollback pops all above the one it returns to. So rolling back twice goes
    back two champions, and never forward to one that was rolled back. Raises PlanError if there is no target.
    """
    stack: list[Entry] = []
    for entry in entries:
        places = [i for i, below in enumerate(stack) if _same_checkpoint(below, entry)]
        if entry.action == "rollback" and places:
            del stack[places[-1] :]
        if not stack or not _same_checkpoint(stack[-1], entry):
            stack.append(entry)
    if to is None and len(stack) > 1:
        return stack[-2]
    serving = stack[-1].manifest if stack else None
    matches = [e for e in entries if to is not None and e.manifest == to and to != serving]
    if matches:
        return matches[-1]
    served = ", ".join(dict.fromkeys(f"{e.manifest[:12]} ({e.strategy} of {e.name})" for e in entries)) or "nothing"
    wanted = f"no earlier champion of manifest {to[:80]}" if to else "no earlier champion"
    raise PlanError(f"there is {wanted} to roll back to; this pipeline served {served}")


def _same_checkpoint(one: Entry, other: Entry) -> bool:
    return (one.manifest, one.strategy) == (other.manifest, other.strategy)


def repeats_entry(entry: Entry, last: Entry | None) -> bool:
    """Whether the newest entry is the same act: same champion, same person, same reason; the time may differ."""
    ignored = {"number", "when", "previous", "at_period"}
    return last is not None and entry.model_dump(exclude=ignored) == last.model_dump(exclude=ignored)


def served_on(entries: Sequence[Entry], when: str) -> Entry | None:
    """The entry that served at an instant (ISO 8601, UTC if it has no offset), or at the end of a UTC day (2026-01-07)."""
    instant = parse_instant(when)
    if len(when) == len("2026-01-07"):
        instant = datetime.combine(instant.date(), time.max, UTC)
    return next((entry for entry in reversed(entries) if parse_instant(entry.when) <= instant), None)


def parse_instant(when: str) -> datetime:
    """Parse an ISO 8601 text. Raises PlanError if it is not one."""
    try:
        instant = datetime.fromisoformat(when)
    except ValueError as error:
        raise PlanError(
            f"{when[:80]!r} is not a date or time; write 2026-01-07 or 2026-01-07T02:00:00+00:00"
        ) from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
