"""Promote: act on the champion by hand: promote, roll back, pin."""

from __future__ import annotations

from nightloop.flows.run_names import run_name
from nightloop.flows.run_summary import undrawn_report_warns
from nightloop.flows.scheduled_time import scheduled_time
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.promote import pin_by_hand, promote_by_hand, roll_back_by_hand
from nightloop.tasks.record.entries import refuse_without_reason
from nightloop.tasks.report import publish
from nightloop.tasks.resources import read
from nightloop.tasks.schedule import newest_shown


@flow("promote", run_name)
def promote(
    plan: str = "simulated",
    strategy: str = "",
    period: str = "",
    manifest: str = "",
    reason: str = "",
    force: bool = False,
    pin: bool = False,
    unpin: bool = False,
) -> str:
    """Make a checkpoint the champion, or pin or unpin the one that serves.

    A strategy that is promoted continues to serve with its newer checkpoints. A period, or a manifest alone, names one
    checkpoint: it is pinned, and the gate does not move it.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        strategy: The strategy whose checkpoint is to serve; empty: the one that the gate would promote.
        period: The night whose checkpoint is to serve, such as 2026-01-07; empty: the newest complete one.
        manifest: Hash of that night's manifest as you saw it; refused if it has changed since. Empty: not checked.
        reason: Why, in words; kept in the promotion log. Every act by hand needs one.
        force: Promote although the gate's verdict is not promote.
        pin: The gate may not move what is promoted. With no strategy, period or manifest: pin what serves now.
        unpin: The gate may move what is promoted. With no strategy, period or manifest: unpin what serves now.
    """
    refuse_without_reason("a promotion", reason)
    if pin and unpin:
        raise PlanError("pin and unpin were both given; give one of them")
    loaded_plan, when = read(plan), scheduled_time().isoformat()
    if (pin or unpin) and not any(text.strip() for text in (strategy, period, manifest)):
        outcome = pin_by_hand(loaded_plan, reason, when, pin)
    else:
        outcome = promote_by_hand(
            loaded_plan, strategy, period, manifest, (reason, force), when, pin if pin or unpin else None
        )
    return _publish_report(loaded_plan, outcome)


@flow("rollback", run_name)
def rollback(plan: str = "simulated", to: str = "", reason: str = "", from_entry: int | None = None) -> str:
    """Return to an earlier champion and pin it: the gate does not move it until a person promotes or unpins it.

    The same rollback again, by the same person for the same reason, changes nothing.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        to: Period of an earlier champion, such as 2026-01-05; empty: the champion before this one.
        reason: Why, in words; kept in the promotion log. Needed.
        from_entry: Number of the log's newest entry as you saw it: roll back from there, once more if that is a rollback.
    """
    refuse_without_reason("a rollback", reason)
    loaded_plan = read(plan)
    return _publish_report(
        loaded_plan, roll_back_by_hand(loaded_plan, to, reason, scheduled_time().isoformat(), from_entry)
    )


def _publish_report(plan: Plan, outcome: str) -> str:
    """The outcome of an act that is done. A report that cannot be drawn is a warning."""
    with undrawn_report_warns(plan.pipeline):
        publish(plan, newest_shown(plan, scheduled_time()))
    return outcome
