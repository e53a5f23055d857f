"""Bake-offs without Prefect: the flow's own lines as plain calls, every cell in this process, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

import flows.bakeoff
import tasks.bake
from tasks.bakeoff.apart import Job, work_on
from tasks.bakeoff.outcome import Outcome

WHEN = datetime.fromisoformat("2026-01-20T02:00:00+00:00")


@dataclass
class Oven:
    """What was run."""

    jobs: list[Job] = field(default_factory=list)

    def cells(self) -> list[str]:
        """The cells that were run, by title."""
        return sorted(job.title for job in self.jobs if job.do == "cell")


def oven(monkeypatch: pytest.MonkeyPatch) -> Oven:
    """Bake-offs as plain function calls from here on."""
    made = Oven()

    def here(job: Job) -> None:
        made.jobs.append(job)
        job.room.mkdir(parents=True, exist_ok=True)
        work_on(job)

    class OneByOne:
        """Stands for the flow of cells, whatever its task runner."""

        def with_options(self, task_runner: object, flow_run_name: str) -> Any:
            return self.run

        def run(self, ready: Sequence[Job], todo: Sequence[Job]) -> dict[str, Outcome]:
            for job in ready:
                tasks.bake.prepare.fn(job)
            return {job.key: tasks.bake.bake.fn(job) for job in todo}

    monkeypatch.setattr(tasks.bake, "run_apart", here)
    monkeypatch.setattr(flows.bakeoff, "side_by_side", OneByOne())
    monkeypatch.setattr(flows.bakeoff, "scheduled", lambda: WHEN)
    for name in ("missing", "lay", "show", "collect"):
        found = getattr(flows.bakeoff, name)
        monkeypatch.setattr(flows.bakeoff, name, getattr(found, "fn", found))
    for name in ("create_markdown_artifact", "create_table_artifact"):
        monkeypatch.setattr(tasks.bake, name, lambda *what, **more: None)
    return made


def bake(plan: object, **given: Any) -> dict[str, Any]:
    """The bake-off's document."""
    return flows.bakeoff.bakeoff.fn(str(plan), **given)


__all__ = ["WHEN", "Oven", "bake", "oven"]
