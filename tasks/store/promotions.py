"""Promotions: the live champion follows the chain of nights, once, whatever crashed in between; and moves by hand."""

from __future__ import annotations

from dataclasses import replace

from tasks.plan.plan import Plan
from tasks.store import manifests, registry
from tasks.store.due import recorded, root
from tasks.store.manifest import Manifest, Served
from tasks.store.night import walk_back
from tasks.store.objects import Objects
from tasks.store.registry import Act, Entry, draft


def follow(objects: Objects, manifest: Manifest, when: str) -> Entry | None:
    """Make the live champion what this night's chain says; None where it is already, or where a person moved it since."""
    entries = registry.log(objects, manifest.pipeline)  # settles a pointer that a crash left behind its log
    newest = entries[-1] if entries else None
    champion = manifest.champion
    if champion is None or (newest and (served(newest) == champion or newest.at_period > manifest.period)):
        return None
    if newest and newest.by != "gate" and newest.at_period >= manifest.period:
        return None
    night = next(m for m in walk_back(objects, manifest) if m.period == champion.period)
    if night.checkpoints.get(champion.strategy) != champion.checkpoint:
        return None  # a person chose a checkpoint that was mended since; the pointer says so itself
    judged = night.judged.get(champion.strategy)
    reason = judged.reasons[0] if judged and judged.reasons else "the gate's verdict"
    act = Act(by="gate", when=when, reason=reason, at_period=manifest.period)
    return registry.promote(
        objects, manifest.pipeline, draft(night, champion.strategy, act), newest.number if newest else 0
    )


def served(entry: Entry) -> Served:
    """What an entry of the log made the champion."""
    return Served(strategy=entry.strategy, period=entry.period, checkpoint=entry.checkpoint)


def by_hand(objects: Objects, manifest: Manifest, strategy: str, act: Act, force: bool) -> Entry:
    """Promote one night's checkpoint. Raises ValueError where it may not serve, or would undo a person's choice without a
    reason, and RuntimeError where somebody was faster."""
    entries = registry.log(objects, manifest.pipeline)
    last = entries[-1] if entries else None
    if last and last.by != "gate" and not act.reason.strip():
        raise ValueError(
            f"{last.strategy} of {last.name} serves by the choice of {last.by} ({last.action}: {last.reason}); to put "
            f"{strategy} of {manifest.name} in its place say why: --reason"
        )
    entry = draft(manifest, strategy, replace(act, reason=act.reason or "approved"), force)
    return _won(registry.promote(objects, manifest.pipeline, entry, last.number if last else 0))


def take_back(objects: Objects, pipeline: str, act: Act, period: int | None) -> Entry:
    """Roll back to the champion before this one, or to the newest one of `period`. Raises as `by_hand`."""
    entries = registry.log(objects, pipeline)
    if not entries:
        raise ValueError(f"{pipeline} has no champion yet: there is nothing to roll back")
    of_period = [e.manifest for e in entries if e.period == period]
    if period is not None and not of_period:
        names = ", ".join(dict.fromkeys(e.name for e in entries))
        raise ValueError(f"no champion of {pipeline} came from that period; champions came from {names}")
    return _won(registry.rollback(objects, pipeline, act, entries[-1].number, of_period[-1] if of_period else None))


def newest_complete(objects: Objects, plan: Plan) -> Manifest | None:
    """The last complete night of the pipeline's chain."""
    chain, _ = manifests.survey(objects, plan.pipeline, root(plan), recorded(objects, plan))
    complete = [index for index, night in chain.items() if night.outcome == "complete"]
    return chain[max(complete)] if complete else None


def _won(entry: Entry | None) -> Entry:
    if entry is None:
        raise RuntimeError("somebody else moved the champion first; nothing was changed. Look again: nightloop status")
    return entry
