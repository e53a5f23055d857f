"""Nightly: one period of logs through the loop, and the nights that were missed before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from prefect import flow
from prefect.runtime import flow_run

from flows.writer import writing
from tasks.collect import collect
from tasks.compare import compare
from tasks.deploy import deploy, settle
from tasks.lake.warehouse import Landing
from tasks.plan.plan import Plan
from tasks.pretrain import pretrain
from tasks.report import publish, report
from tasks.retrain import retrain
from tasks.score import score
from tasks.store.manifest import Manifest
from tasks.validate import due, periods_of, read, validate


@flow(name="nightly", flow_run_name="nightly {plan} {period}")
def nightly(plan: str = "simulated", period: str = "", catch_up: int = 31) -> list[str]:
    """Run the night that the schedule names: collect, validate, score, retrain, compare, deploy.

    Nights that were missed before it are caught up first, in order.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        period: Name of the period, such as 2026-01-07; empty: the newest that was closed at the scheduled time.
        catch_up: Most missed nights to run before it; more are refused, so that nobody starts a year by mistake.
    """
    order, when = read(plan), scheduled()
    with writing(order, flow_run.id or "by hand"):
        done = [night(order, index, when.isoformat()) for index in due(order, period, when, catch_up)]
        publish(order)
    return [f"{m.name}: {m.outcome}, {m.verdict}" for m in done]


def night(plan: Plan, index: int, when: str | None, landings: Sequence[Landing] = (), only: Sequence[str] = ()) -> Manifest:
    """One night. `when`: the time its promotion is logged under; None: the live champion stays where it is.

    Running a finished night again changes nothing; one that crashed goes on where it stopped.
    """
    landed = list(landings) or [collect(plan, period) for period in periods_of(plan, index)]
    found = validate(plan, landed, index)
    if isinstance(found, Manifest):
        return settle(found, when)
    start = pretrain(found) if found.previous is None else None
    scores = score(found)
    kept = {label: retrain(found, label, start, bool(only) and label not in only) for label in plan.strategies}
    manifest = deploy(found, scores, kept, compare(found, scores), when)
    report(plan, manifest)
    return manifest


def scheduled() -> datetime:
    """The time the schedule gave this run, so that a late or repeated run names the same period; now, if by hand."""
    planned = flow_run.scheduled_start_time
    return planned if planned is not None else datetime.now(timezone.utc)
