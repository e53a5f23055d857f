"""Jobs: the pieces of a bake-off, each named by everything its result depends on, so that finished pieces are not run again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from nightloop.tasks.bakeoff.early_stop import StopRule
from nightloop.tasks.bakeoff.entrants import Entrant
from nightloop.tasks.bakeoff.history import ReplayedPeriod
from nightloop.tasks.bakeoff.spec import Kind
from nightloop.tasks.bakeoff.worker import Job
from nightloop.tasks.plan.plan import Plan, canonical_json
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.retraining.strategy import reads_ranking

FORMAT = 1  # of a cell's stored result


@dataclass(frozen=True)
class JobTable:
    """What all pieces share: the plan, the history, where files lie, which candidates are ranked."""

    plan: Plan
    replayed: tuple[ReplayedPeriod, ...]
    place: Path
    kinds: tuple[Kind, ...]  # none for clicks
    popular_negatives: int

    def until(self, last: int) -> JobTable:
        """The same up to an earlier period."""
        return JobTable(
            self.plan, tuple(period for period in self.replayed if period.period <= last), self.place, self.kinds,
            self.popular_negatives,
        )  # fmt: skip

    @property
    def after(self) -> tuple[int, ...]:
        """Periods after the root."""
        return tuple(period.period for period in self.replayed if period.period >= self.plan.pretrain_periods)


def cell_job(table: JobTable, entrant: Entrant, seed: int, stop: StopRule | None = None) -> Job:
    """The replay of one entrant under one seed. A trial of a search may end early by the rule `stop`."""
    plan = entrant.plan(table.plan, seed)
    inputs: dict[str, JsonValue] = {
        "strategy": entrant.strategy.model_dump(mode="json"),
        "kinds": list(table.kinds),
        "ranking": plan.ranking.model_dump(mode="json", exclude={"k"}) if table.kinds else None,
        "popular_negatives": table.popular_negatives if "popular" in table.kinds else None,
    }
    parts = assemble(plan)
    if reads_ranking(parts.strategies[entrant.label], parts.model):
        inputs["judged"] = {"ranking": plan.ranking.model_dump(mode="json"), "metric": plan.leading_metric}
    if stop is not None and stop.limits:
        inputs["stop"] = stop.model_dump(mode="json")
    return _job(table, "cell", f"{entrant.name}, seed {seed}", plan, inputs).model_copy(update={"stop": stop})


def start_job(table: JobTable, plan: Plan) -> Job:
    """The weights that every strategy starts from, of the plan's model and seed."""
    root = table.until(plan.pretrain_periods - 1)
    return _job(root, "start", f"pretrain {plan.model.use}, seed {plan.seed}", plan, {})


def candidate_job(table: JobTable, seed: int) -> Job:
    """The candidates of a seed."""
    plan = table.plan.model_copy(update={"seed": seed})
    return _job(table, "deal", f"deal candidates, seed {seed}", plan, {"kinds": list(table.kinds)})


def preparations(table: JobTable, cells: Sequence[Job]) -> list[Job]:
    """What must exist before these cells run: the weights of each model and seed, the candidates of each seed."""
    starts = {job.start: start_job(table, job.plan) for job in cells}
    deals = {job.plan.seed: candidate_job(table, job.plan.seed) for job in cells} if table.kinds else {}
    return [*deals.values(), *starts.values()]


def _job(table: JobTable, do: str, title: str, plan: Plan, inputs: dict[str, JsonValue]) -> Job:
    shared: dict[str, JsonValue] = {
        "format": FORMAT, "do": do, "columns": plan.columns.model_dump(mode="json"), "history": plan.pretrain_periods,
        "pretrain": plan.pretrain.model_dump(mode="json"), "model": plan.model.model_dump(mode="json"),
        "seed": plan.seed, "logs": [[period.period, period.digest] for period in table.replayed],
    }  # fmt: skip
    key = hashlib.sha256(canonical_json({**shared, **inputs})).hexdigest()
    return Job.model_validate({
        "do": do, "title": title, "key": key, "plan": plan, "label": next(iter(plan.strategies)), "place": table.place,
        "periods": table.after, "kinds": table.kinds, "popular_negatives": table.popular_negatives,
    })  # fmt: skip
