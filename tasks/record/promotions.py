"""Promotions: the live champion follows the chain of nights, once, also after a crash; and it is moved by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nightloop.tasks.objects.copies import with_copies
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import ConflictError, NotReady, PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.champion import champion_of
from nightloop.tasks.record.due import newest_recorded, root_period
from nightloop.tasks.record.entries import (
    GATE,
    Act,
    Entry,
    current_pin,
    draft_entry,
    entries_by_hand,
    parse_instant,
    pins_champion,
    summary,
)
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.night_context import walk_back

log = logging.getLogger(__name__)
SKEW = 30.0  # seconds by which the clocks of two writers may differ
Check = Callable[[Entry], None]  # raises if an entry cannot serve


class ActOutcome(NamedTuple):
    """The outcome of an act by hand: its entry, whether an earlier run of the same act had written it, and the entry that
    has replaced it since."""

    entry: Entry
    repeated: bool
    newer: Entry | None = None


def follow_chain(objects: Objects, manifest: Manifest, when: str) -> Entry | None:
    """Set the live champion to that of this night's chain. None: it is the same already, or there is a newer act by hand.

    The gate took into account the acts by hand that the night knew. If the log has a newer one, the champion stays.
    """
    entries = promotion_log.known_log(objects, manifest.pipeline)  # this also updates a stale pointer after a crash
    newest = entries[-1] if entries else None
    champion = manifest.champion
    if newest and (champion_of(newest) == champion or newest.at_period > manifest.period):
        return None
    acts = entries_by_hand(entries)
    if newest and acts and acts[-1].number > manifest.last_act:
        serves, newer = f"{newest.strategy} of {newest.name} serves", summary(acts[-1])
        log.warning("%s moves no champion, %s: newer than its decision is %s", manifest.name, serves, newer)
        return None
    if champion is None:
        return None
    night = next((m for m in walk_back(objects, manifest) if m.period == champion.period), None)
    if night is None or night.checkpoints.get(champion.strategy) != champion.checkpoint:
        return None  # a person chose a checkpoint of a night that was run again since; the pointer names it already
    if manifest_store.current_manifest(objects, manifest.pipeline, night.period) != night:
        log.warning("%s moves no champion: it builds on %s, which was run again since", manifest.name, night.name)
        return None
    judged = night.judged.get(champion.strategy)
    reason = judged.reasons[0] if judged and judged.reasons else "the gate's verdict"
    act = Act(by=GATE, when=when, reason=reason, at_period=manifest.period)
    entry = draft_entry(night, champion.strategy, act)
    chosen = next((e for e in reversed(acts) if champion_of(e) == champion), None)
    if chosen is not None:  # a person chose it, so the gate's verdict is not required
        entry = entry.model_copy(update={"forced": True, "reason": f"the choice of {summary(chosen)}"})
    return promotion_log.append_promotion(objects, manifest.pipeline, entry, newest.number if newest else 0)


def promote_checkpoint(
    objects: Objects, manifest: Manifest, strategy: str, act: Act, force: bool, pin: bool, check: Check | None = None
) -> ActOutcome:
    """Promote one night's checkpoint; with `pin` the gate may not move it. The same act again changes nothing.

    `check` raises if the checkpoint cannot serve. Raises PlanError if it may not serve, or without a reason, and
    ConflictError if another act was written first.
    """
    if strategy in manifest.failed:
        raise PlanError(
            f"{strategy} failed in {manifest.name} ({manifest.failed[strategy].reason[:200]}), which has its checkpoint of an "
            "earlier night: give the period of a night in which it was trained"
        )
    entries = promotion_log.known_log(objects, manifest.pipeline)
    last = entries[-1] if entries else None
    entry = draft_entry(manifest, strategy, act, force)
    entry = entry.model_copy(update={"pinned": pin})
    if last and _same_act(entry, last) and (last.manifest, last.strategy) == (entry.manifest, entry.strategy):
        return ActOutcome(last, True)
    done = _outcome_of_request(entries, "promote", act)
    if done and (done.entry.manifest, done.entry.strategy, done.entry.pinned) == (entry.manifest, strategy, pin):
        return done
    _refuse_later(last, act)
    moved = promotion_log.append_promotion(objects, manifest.pipeline, entry, last.number if last else 0, check)
    return _act_outcome(objects, moved, manifest.pipeline)


def roll_back(
    objects: Objects, pipeline: str, act: Act, period: int | None, after: int | None = None, check: Check | None = None
) -> ActOutcome:
    """Roll back to the champion before this one, or to the newest one of `period`, and pin it.

    The same rollback again (same person, same reason) changes nothing, unless `after` names the entry to start from: then
    the log must end there. Raises as `promote_checkpoint` does.
    """
    entries = promotion_log.known_log(objects, pipeline)
    if not entries:
        raise PlanError(f"{pipeline} has no champion yet: there is nothing to roll back")
    last = entries[-1]
    requested = last.model_copy(update={"action": "rollback", "by": act.by, "reason": act.reason, "pinned": True})
    same = _same_act(requested, last) and period in (None, last.period)
    if same and after in (None, last.number - 1):
        return ActOutcome(last, True)
    if after is None and (done := _outcome_of_request(entries, "rollback", act)):
        return done
    if after is not None and after != last.number:
        raise ConflictError(f"the log does not end at entry {after}: it ends with {summary(last)}. Nothing was changed")
    if after is None:
        _refuse_later(last, act)
    of_period = [e.manifest for e in entries if e.period == period]
    if period is not None and not of_period:
        names = ", ".join(dict.fromkeys(e.name for e in entries))
        raise PlanError(f"no champion of {pipeline} came from that period; champions came from {names}")
    moved = promotion_log.append_rollback(
        objects, pipeline, act, last.number, of_period[-1] if of_period else None, check
    )
    return _act_outcome(objects, moved, pipeline)


def hold_champion(objects: Objects, pipeline: str, act: Act, pin: bool) -> ActOutcome:
    """Pin the champion, so that the gate may not move it, or unpin it. Raises as `promote_checkpoint` does."""
    entries = promotion_log.known_log(objects, pipeline)
    if not entries:
        raise PlanError(f"{pipeline} has no champion yet: there is nothing to pin")
    last, pinned = entries[-1], current_pin(entries)
    if (pinned is not None) == pin and (last.by != GATE):
        return ActOutcome(last, True)
    if done := _outcome_of_request(entries, "pin" if pin else "unpin", act):
        return done
    if pinned is None and not pin:
        raise PlanError(f"the champion of {pipeline} is not pinned: the gate may move it. Nothing was changed")
    _refuse_later(last, act)
    return _act_outcome(objects, promotion_log.append_hold(objects, pipeline, act, last.number, pin), pipeline)


def newest_nights(objects: Objects, plan: Plan) -> tuple[Manifest, int]:
    """The newest complete night, and the newest period that is not blocked. An act by hand counts from the period after.

    Raises NotReady if no night is complete.
    """
    seen, newest = with_copies(objects, plan.pipeline), newest_recorded(objects, plan)
    chain, _ = manifest_store.survey_chain(seen, plan.pipeline, root_period(plan), newest)
    complete = [index for index, night in chain.items() if night.outcome == "complete"]
    if not complete:
        raise NotReady(
            f"{plan.pipeline} has no complete night yet; run nightloop night {as_given(plan.pipeline)} first"
        )
    night = manifest_store.current_manifest(
        objects, plan.pipeline, max(complete)
    )  # a listing may lack its newest revision
    return night or chain[max(complete)], max(index for index, night in chain.items() if night.outcome != "blocked")


def _same_act(entry: Entry, last: Entry) -> bool:
    one, other = ((each.action, each.by, each.reason, pins_champion(each)) for each in (entry, last))
    return one == other


def _outcome_of_request(entries: Sequence[Entry], action: str, act: Act) -> ActOutcome | None:
    """The entry that this very request wrote before its run was cut off and resumed; None if there is none."""
    wanted = (action, act.by, act.when, act.reason)
    done = next((e for e in entries if (e.action, e.by, e.when, e.reason) == wanted), None)
    return ActOutcome(done, True, entries[-1] if entries[-1] != done else None) if done else None


def _refuse_later(last: Entry | None, act: Act) -> None:
    """Raise ConflictError if the newest entry is newer than the request for this act: whoever asked has not seen it.

    All who act in Prefect's UI have one name, so the same name is refused too. An entry that is dated after the present
    was written by a machine whose clock was wrong, and is ignored here.
    """
    if last is None:
        return
    written, requested = parse_instant(last.when).timestamp(), parse_instant(act.when).timestamp()
    if requested < written <= (act.now or requested) + SKEW:
        raise ConflictError(
            f"{summary(last)}. It was written at {last.when}, after this act was requested at {act.when}, each "
            "by the clock of its machine; nothing was changed. Look again; if you mean that entry, run the act again (a "
            f"rollback: --from {last.number})"
        )


def _act_outcome(objects: Objects, entry: Entry | None, pipeline: str) -> ActOutcome:
    if entry is None:
        newest = promotion_log.read_champion(objects, pipeline)
        other_act = f": {summary(newest)}" if newest else ""
        raise ConflictError(
            f"another act on the champion was written first{other_act}. Your act was not written. Look again: "
            f"nightloop status {as_given(pipeline)}"
        )
    return ActOutcome(entry, False)
