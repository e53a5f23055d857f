"""Promote: act on the champion by hand: promote, roll back, pin; compare-and-swap from the entry that the operator saw."""

from __future__ import annotations

import logging
import sys
from functools import partial

from nightloop.tasks.artifacts import show_markdown
from nightloop.tasks.gate.policy import promotion_pins, proposed
from nightloop.tasks.lake.periods import parse
from nightloop.tasks.objects.clock import store_time
from nightloop.tasks.objects.copies import with_copies
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import ConflictError, NotReady, PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store, promotions
from nightloop.tasks.record.entries import Act, Entry, pins_champion, summary
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.promotions import ActOutcome
from nightloop.tasks.reports.format import escape_markdown
from nightloop.tasks.resources import actor, credentials, open_store
from nightloop.tasks.serving.smoke import smoke

log = logging.getLogger(__name__)
LEAST_HASH = 8  # hex digits that name a manifest


@task("promote")
def promote_by_hand(
    plan: Plan,
    strategy: str,
    period: str,
    manifest: str,
    decision: tuple[str, bool],
    when: str,
    pin: bool | None = None,
) -> str:
    """Promote one night's checkpoint. `decision`: the reason, and whether to ignore the gate's verdict.

    `pin`: whether the gate may not move it; None: as `promotion_pins` says.
    """
    objects = open_store()
    newest, at = promotions.newest_nights(objects, plan)
    night = _find_night(objects, plan, period, manifest if not strategy.strip() else "", newest)
    if manifest.strip() and not night.hash.startswith(manifest.strip()):
        raise ConflictError(
            f"{night.name} is manifest {night.hash[:12]} now, not {manifest.strip()[:12]} as you saw it; look again"
        )
    reason, force = decision
    act = Act(actor(), when, redact(reason), at, store_time(objects))
    pinned = promotion_pins(strategy.strip(), period.strip(), manifest.strip(), pin)
    chosen = strategy.strip() or proposed(night)
    return _report_outcome(
        promotions.promote_checkpoint(objects, night, chosen, act, force, pinned, partial(_smoke_test, objects))
    )


@task("roll back")
def roll_back_by_hand(plan: Plan, to: str, reason: str, when: str, after: int | None = None) -> str:
    """Return to the champion before this one, or to the one that came from period `to`; from entry `after` on."""
    objects = open_store()
    act = Act(actor(), when, redact(reason), promotions.newest_nights(objects, plan)[1], store_time(objects))
    period = parse(plan.periods, to).index if to.strip() else None
    return _report_outcome(
        promotions.roll_back(objects, plan.pipeline, act, period, after, partial(_smoke_test, objects))
    )


@task("pin or unpin")
def pin_by_hand(plan: Plan, reason: str, when: str, pin: bool) -> str:
    """Pin the champion, so that the gate may not move it, or unpin it."""
    objects = open_store()
    act = Act(actor(), when, redact(reason), promotions.newest_nights(objects, plan)[1], store_time(objects))
    return _report_outcome(promotions.hold_champion(objects, plan.pipeline, act, pin))


def _smoke_test(objects: Objects, entry: Entry) -> None:
    """Raise PlanError if the entry's checkpoint does not load and predict the same in a fresh process.

    If the test cannot run, a promotion is refused (RuntimeError). A rollback continues with a warning: its checkpoint
    has served before, and a fault of this machine must not prevent it.
    """
    night, settings = manifest_store.manifest_by_hash(objects, entry.pipeline, entry.manifest, entry.period), Settings()
    try:
        plan, keys = Plan.model_validate(night.plan), credentials(settings)
        result = smoke(settings, plan, entry.checkpoint, entry.vocabulary, credentials=keys)
    except RuntimeError as trouble:
        if entry.action != "rollback":
            raise
        log.warning("%s of %s is rolled back to without a smoke test: %s", entry.strategy, entry.name, trouble)
        return
    if not result.ok:
        raise PlanError(
            f"{entry.strategy} of {entry.name} cannot serve, its smoke test failed: {result.reason}. Nothing was changed; give "
            "another period"
        )


def _find_night(objects: Objects, plan: Plan, period: str, manifest: str, newest: Manifest) -> Manifest:
    """The night that a period, or a manifest's hash, names; the newest complete one if neither is given."""
    if period.strip():
        found = manifest_store.current_manifest(objects, plan.pipeline, parse(plan.periods, period).index)
        if found is None:
            raise NotReady(
                f"{plan.pipeline} has no night {period}; nightloop status {as_given(plan.pipeline)} shows those that exist"
            )
        return found
    if not manifest.strip():
        return newest
    seen = with_copies(objects, plan.pipeline)
    chain = manifest_store.read_chain(seen, plan.pipeline, plan.pretrain_periods - 1, newest.period).values()
    named = [night for night in chain if night.hash.startswith(manifest.strip())]
    if len(manifest.strip()) < LEAST_HASH or len(named) > 1:
        raise PlanError(
            f"manifest: given {manifest.strip()[:80]!r}; give at least {LEAST_HASH} digits that one night's begins with"
        )
    return named[0] if named else newest


def _report_outcome(outcome: ActOutcome) -> str:
    """The outcome in words. It is written to stderr at once: a later failure does not undo the act, and must not hide it."""
    entry = outcome.entry
    subject = f"{entry.strategy} of {entry.name} serves"
    free = "not pinned: the gate decides from the next night on"
    pinned = "pinned: the gate does not move it" if pins_champion(entry) else free
    by = f"{entry.action} by {entry.by}: {entry.reason}"
    text = f"{subject} from now on (entry {entry.number}, {by}; {pinned})"
    if outcome.repeated:
        text = f"already done as entry {entry.number}: {subject} ({by}; {pinned}); nothing was changed"
    if outcome.newer is not None:
        text = f"already done as entry {entry.number} ({by}); {summary(outcome.newer)} since; nothing was changed"
        log.warning("%s: %s", entry.pipeline, text)
        return text
    log.info("%s: %s", entry.pipeline, text)
    sys.stderr.write(f"{entry.pipeline}: entry {entry.number} of the promotion log stands\n")
    sys.stderr.flush()
    try:
        words = f"**{escape_markdown(entry.pipeline)}**: {escape_markdown(text, 2000)}\n"
        show_markdown(f"{entry.pipeline}-champion", escape_markdown(text), words)
    except Exception as error:  # the act is done even if the artifact cannot be shown
        log.warning("the act is done; the artifact %s-champion was not drawn: %s", entry.pipeline, error)
    return text
