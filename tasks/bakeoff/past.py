"""Past: the history that is replayed, period by period: which version, whether validation let it pass, who was known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import reduce

from pydantic import BaseModel, ConfigDict, JsonValue

from tasks.lake.collect import rules
from tasks.lake.logs import Logs
from tasks.lake.periods import period
from tasks.lake.reading import clean_digest, clean_ids, read_logs
from tasks.lake.validation import Nights, validate
from tasks.lake.vocabulary import Vocabulary, empty, grow
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Plan, canonical
from tasks.store import work
from tasks.store.objects import Objects
from tasks.store.overrides import overridden


class Lived(BaseModel):
    """One period that passed, as every entrant reads it."""

    model_config = ConfigDict(frozen=True)

    period: int
    name: str
    version: int
    digest: str  # of the clean rows
    rows: int


@dataclass(frozen=True)
class Past:
    """The periods that passed, oldest first, and the vocabulary at their close."""

    periods: tuple[Lived, ...]
    vocabulary: Vocabulary

    def logs(self, warehouse: Warehouse, plan: Plan) -> Logs:
        """All rows of all periods."""
        versions = [(one.period, one.version) for one in self.periods]
        return read_logs(warehouse, plan, self.vocabulary, versions, plan.seed)


def uncollected(warehouse: Warehouse, plan: Plan, last: int) -> list[int]:
    """Periods up to `last` that a night would have to land: not in the lake, or landed under other rules than the plan's."""
    missing = []
    for index in range(last + 1):
        newest = warehouse.query("newest_landing", {"period": index}).to_pylist()
        if not newest or newest[0]["rules"] != rules(plan):
            missing.append(index)
    return missing


def past(objects: Objects, warehouse: Warehouse, plan: Plan, last: int) -> Past:
    """The history from period 0 to `last`, each period held against the plan's expectations as a night does it.

    A period that an operator passed over is left out, as it was from the nights. Raises ValueError that names the first
    period which validation stops.
    """
    newest, vocabulary = warehouse.latest(), empty(plan.columns)
    statistics: list[dict[str, float]] = []
    found: list[Lived] = []
    for index in range(last + 1):
        version, name = newest[index], period(plan.periods, index).name
        decided = overridden(objects, plan.pipeline, index, version)
        if decided is not None and decided.kind == "skip":
            continue
        accepted = decided.reason if decided is not None else None
        learned = _passed(objects, warehouse, plan, (index, version), found, Nights(statistics, vocabulary), accepted)
        statistics = [*statistics, learned]
        vocabulary = reduce(grow, clean_ids(warehouse, plan, index, version), vocabulary)
        digest, arrived, aside = clean_digest(warehouse, index, version)
        found.append(Lived(period=index, name=name, version=version, digest=digest, rows=arrived - aside))
    return Past(tuple(found), vocabulary)


def _passed(
    objects: Objects, warehouse: Warehouse, plan: Plan, at: tuple[int, int], before: list[Lived], nights: Nights,
    accepted: str | None,
) -> dict[str, float]:  # fmt: skip
    """The statistics of a period that passed; found out once and kept. Raises ValueError where validation stops it."""
    known = work.done(objects, plan.pipeline, _key(warehouse, plan, at, before, accepted), "validated")
    if known is not None:
        return {name: float(str(value)) for name, value in known.items()}
    where = period(plan.periods, at[0])
    result = validate(warehouse, plan, where, at[1], nights, accepted)
    if result.verdict == "blocked":
        raise ValueError(
            f"{where.name} of {plan.pipeline} is stopped by validation: {'; '.join(result.reasons)[:600]}. Nothing was "
            "replayed. Mend the source and collect it again, accept it or pass over it (nightloop night PLAN --period "
            f'{where.name} --accept "why", or --skip "why"), or end before it (--end)'
        )
    kept: dict[str, JsonValue] = {name: repr(float(value)) for name, value in result.statistics.items()}
    work.finish(objects, plan.pipeline, _key(warehouse, plan, at, before, accepted), "validated", kept)
    return dict(result.statistics)


def _key(warehouse: Warehouse, plan: Plan, at: tuple[int, int], before: list[Lived], accepted: str | None) -> str:
    """What validation's word on a period depends on; the rows it put aside are part of it."""
    inputs = {
        "rules": rules(plan), "at": [*at, *clean_digest(warehouse, *at)], "accepted": accepted,
        "before": [[one.period, one.digest] for one in before],
    }  # fmt: skip
    return hashlib.sha256(canonical(inputs)).hexdigest()
