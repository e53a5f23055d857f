"""Backfill: a range of periods, in order, from a plan that is shown before anything runs."""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.runtime import flow_run

from flows.nightly import night, scheduled
from flows.writer import writing
from tasks.collect import collect
from tasks.lake.warehouse import Landing
from tasks.open import read
from tasks.plan.plan import Plan
from tasks.report import progress, publish, show_plan
from tasks.store.states import Step

What = Literal["missing", "missing and failed", "stale", "all"]


@flow(name="backfill", flow_run_name="backfill {plan} {start} to {end}")
def backfill(
    plan: str = "simulated",
    start: str = "",
    end: str = "",
    what: What = "missing and failed",
    strategies: list[str] | None = None,
    dry_run: bool = False,
    stop_on: Literal["blocked", "warned"] = "blocked",
    move_champion: bool = False,
) -> list[str]:
    """Run a range of nights in order, each fed by its true predecessor and by the champion as of that night.

    The table of what would run, and why, is shown first as an artifact. Cancel at any time and run again to resume.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        start: First period, such as 2026-01-07; empty: the root.
        end: Last period; empty: the newest that is closed.
        what: Which nights of the range to run. A night that runs makes every later one of the range run.
        strategies: Strategies that may be trained; the others must be reusable as they are. Empty: all.
        dry_run: Show the plan and stop.
        stop_on: Stop at a night that validation blocks, or already at one it only warns about.
        move_champion: Let the live champion follow, where the range ends at the newest period.
    """
    order, now = read(plan), scheduled()
    steps = show_plan(order, start, end, what, now)
    runs = [step for step in steps if step.action == "run"]
    if dry_run or not runs:
        return [f"{step.name}: {step.action}, {step.why}" for step in steps]
    with writing(order, flow_run.id or "by hand"):
        done = _in_order(order, runs, strategies or [], stop_on, now.isoformat() if move_champion else None)
        publish(order)
    return done
