"""Maintain: compact the lake, and remove what neither the chain nor the promotion log needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.runtime import flow_run

from flows.naming import run_name
from tasks.open import read
from tasks.sweep import compact, sweep


@flow(name="maintain", flow_run_name=run_name)
def maintain(plan: str = "simulated", dry_run: bool = False) -> list[str]:
    """Compact the lake and sweep the store. What a manifest, the champion or the promotion log needs is never removed.

    Args:
        plan: Name of a plan in infra/plans, or the path of a YAML file.
        dry_run: Say what would be removed, and stop.
    """
    order, now = read(plan), datetime.now(UTC)
    return [
        *compact(order, now - timedelta(days=1), dry_run),
        *sweep(order, str(flow_run.id or "by hand"), now.timestamp(), dry_run),
    ]
