"""Move: the champion, by hand, forward or back; compare-and-swap from what the operator saw."""

from __future__ import annotations

import getpass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.lake.periods import parse
from tasks.open import open_store
from tasks.plan.outward import guarded
from tasks.plan.plan import Plan
from tasks.reports.words import marked
from tasks.store import manifests, promotions
from tasks.store.manifest import Manifest
from tasks.store.objects import Objects
from tasks.store.registry import Act, Entry


@task(task_run_name="promote", cache_policy=NO_CACHE)
@guarded()
def promote_by_hand(plan: Plan, strategy: str, period: str, seen: str, why: tuple[str, bool], when: str) -> str:
    """Promote one night's checkpoint; `why` is the reason, and whether the gate's verdict is to be passed over."""
    objects = open_store()
    newest = _newest(objects, plan)
    night = manifests.current(objects, plan.pipeline, parse(plan.periods, period).index) if period.strip() else newest
    if night is None:
        raise LookupError(
            f"{plan.pipeline} has no night {period}; nightloop status {plan.pipeline} shows those there are"
        )
    if seen.strip() and not night.hash.startswith(seen.strip()):
        raise RuntimeError(
            f"{night.name} is manifest {night.hash[:12]} by now, not {seen.strip()[:12]} as you saw it; look again"
        )
    reason, force = why
    act = Act(by=getpass.getuser(), when=when, reason=reason, at_period=newest.period)
    return _told(promotions.by_hand(objects, night, strategy or _proposed(night), act, force))


@task(task_run_name="roll back", cache_policy=NO_CACHE)
@guarded()
def take_back(plan: Plan, to: str, reason: str, when: str) -> str:
    """Return to the champion before this one, or to the one that came from period `to`."""
    objects = open_store()
    act = Act(by=getpass.getuser(), when=when, reason=reason, at_period=_newest(objects, plan).period)
    return _told(
        promotions.take_back(objects, plan.pipeline, act, parse(plan.periods, to).index if to.strip() else None)
    )


def _newest(objects: Objects, plan: Plan) -> Manifest:
    found = promotions.newest_complete(objects, plan)
    if found is None:
        raise LookupError(f"{plan.pipeline} has no complete night yet; run nightloop night {plan.pipeline} first")
    return found


def _proposed(night: Manifest) -> str:
    """The strategy that the gate would promote. Raises ValueError where there is none or more than one."""
    names = [name for name, judged in night.judged.items() if judged.verdict == "promote"]
    if len(names) != 1:
        raise ValueError(
            f"the gate proposes {', '.join(names) or 'nobody'} for {night.name}; name a strategy: {', '.join(night.checkpoints)}"
        )
    return names[0]


def _told(entry: Entry) -> str:
    text = f"{entry.strategy} of {entry.name} serves from now on ({entry.action} number {entry.number} by {entry.by}: {entry.reason})"
    create_markdown_artifact(
        f"**{marked(entry.pipeline)}**: {marked(text, 2000)}\n",
        key=f"{entry.pipeline}-champion".replace("_", "-"),
        description=marked(text),
    )
    return text
