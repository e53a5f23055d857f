"""Bake-offs whose cells run in this process, one by one, counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

import nightloop.flows.bakeoff
from nightloop.flows.bakeoff import WorkerPool
from nightloop.tasks.bakeoff.worker import Job, run_job

WHEN = datetime.fromisoformat("2026-01-20T02:00:00+00:00")


@dataclass
class Oven:
    """What was run."""

    jobs: list[Job] = field(default_factory=list)

    def work(self, job: Job) -> None:
        """Do this job here."""
        self.jobs.append(job)
        job.room.mkdir(parents=True, exist_ok=True)
        run_job(job)

    def cells(self) -> list[str]:
        """The cells that were run, by title."""
        return sorted(job.title for job in self.jobs if job.do == "cell")


def oven(monkeypatch: pytest.MonkeyPatch) -> Oven:
    """Bake-offs that compute their pieces in this process, from here on."""
    made = Oven()
    computed_by(monkeypatch, made.work)
    monkeypatch.setattr(nightloop.flows.bakeoff, "scheduled_time", lambda: WHEN)
    return made


def computed_by(monkeypatch: pytest.MonkeyPatch, compute: Callable[[Job], None]) -> None:
    """Bake-offs have this compute their pieces, one by one."""
    monkeypatch.setattr(
        nightloop.flows.bakeoff, "open_worker_pool", lambda runner, workers: nullcontext(WorkerPool(compute, 1))
    )


def bake(plan: object, **given: Any) -> dict[str, Any]:
    """The bake-off's document."""
    return nightloop.flows.bakeoff.bakeoff(str(plan), **given)


__all__ = ["WHEN", "Oven", "bake", "computed_by", "oven"]
