"""Promote: move the champion by hand, forward or back."""

from __future__ import annotations

from prefect import flow

from flows.naming import run_name
from flows.nightly import scheduled
from tasks.move import promote_by_hand, take_back
from tasks.open import read
from tasks.report import publish


@flow(name="promote", flow_run_name=run_name)
def promote(
    plan: str = "simulated",
    strategy: str = "",
    period: str = "",
    manifest: str = "",
    reason: str = "",
    force: bool = False,
) -> str:
    """Make a checkpoint the champion.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        strategy: The strategy whose checkpoint is to serve; empty: the one that the gate would promote.
        period: The night whose checkpoint is to serve, such as 2026-01-07; empty: the newest complete one.
        manifest: Hash of that night's manifest as you saw it; refused where it is another by now. Empty: not checked.
        reason: Why, in words; kept in the promotion log.
        force: Promote although the gate's verdict is not promote; needs a reason.
    """
    order = read(plan)
    said = promote_by_hand(order, strategy, period, manifest, (reason, force), scheduled().isoformat())
    publish(order)
    return said


@flow(name="rollback", flow_run_name=run_name)
def rollback(plan: str = "simulated", to: str = "", reason: str = "") -> str:
    """Take the champion back; the gate leaves it there until somebody promotes by hand.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        to: Period of an earlier champion, such as 2026-01-05; empty: the champion before this one.
        reason: Why, in words; kept in the promotion log.
    """
    order = read(plan)
    said = take_back(order, to, reason, scheduled().isoformat())
    publish(order)
    return said
